/* GCC's unwinder, as Debian builds it, asks the C library of GNU for the unwind table of an address. musl has no such
   function: this one answers for a static program, whose only object is itself. */
#define _GNU_SOURCE
#include <link.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* As in dlfcn.h of the C library of GNU. */
struct dl_find_object {
    unsigned long long flags;
    void *map_start;
    void *map_end;
    struct link_map *link_map;
    void *eh_frame;
#ifndef __x86_64__
    void *eh_dbase;
#endif
    unsigned long long reserved[7];
};

struct search {
    ElfW(Addr) address;
    struct dl_find_object *found;
};

static int look(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    const ElfW(Phdr) *table = NULL;
    int here = 0;

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        ElfW(Addr) start = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_GNU_EH_FRAME)
            table = part;
        if (part->p_type == PT_LOAD && search->address >= start && search->address - start < part->p_memsz) {
            search->found->map_start = (void *)start;
            search->found->map_end = (void *)(start + part->p_memsz);
            here = 1;
        }
    }
    if (!here || table == NULL)
        return 0;
    search->found->eh_frame = (void *)(info->dlpi_addr + table->p_vaddr);
    return 1;
}

int _dl_find_object(void *address, struct dl_find_object *found)
{
    struct search search = { (ElfW(Addr))address, found };

    memset(found, 0, sizeof *found);
    return dl_iterate_phdr(look, &search) ? 0 : -1;
}

/* The unwinder takes either all of these functions for linked or none, and would not have the linker look for them. */
__attribute__((used)) static void (*const threads[])(void) = {
    (void (*)(void))pthread_getspecific, (void (*)(void))pthread_key_create, (void (*)(void))pthread_mutex_lock,
    (void (*)(void))pthread_mutex_unlock, (void (*)(void))pthread_once, (void (*)(void))pthread_setspecific,
};
