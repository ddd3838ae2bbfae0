"""MSL-Network's own classes on a database that Labwire has used."""
from msl.network.database import ConnectionsTable, HostnamesTable, UsersTable

from common import PARAMETERS

for table_class in (ConnectionsTable, HostnamesTable, UsersTable):
    table = table_class(database=PARAMETERS['database'])
    assert table.NAME in table.tables(), table.tables()
    assert table.table_info(table.NAME)
    table.close()
users = UsersTable(database=PARAMETERS['database'])
users.insert('someone', 'a password', False)
assert users.is_password_valid('someone', 'a password')
users.close()
