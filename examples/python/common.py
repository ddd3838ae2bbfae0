"""Where the manager is, from the same environment variables that the Rust examples read."""
import os


def options():
    """Keyword arguments for msl.network.connect, LinkedClient and Service.start."""
    host, _, port = (os.environ.get('LABWIRE_MANAGER') or 'localhost').partition(':')
    return {
        'host': host,
        'port': int(port or 1875),
        'disable_tls': os.environ.get('LABWIRE_DISABLE_TLS') == 'true',
        'cert_file': os.environ.get('LABWIRE_CERT_FILE') or None,
        'auto_save': os.environ.get('LABWIRE_FIRST_USE') == 'save',
        'username': os.environ.get('LABWIRE_USERNAME') or None,
        'password': os.environ.get('LABWIRE_PASSWORD') or None,
        'password_manager': os.environ.get('LABWIRE_MANAGER_PASSWORD') or None,
    }
