/* SPDX-License-Identifier: Apache-2.0 */
#include "guarded.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FILL = 0xa5 };

guarded guarded_make(size_t bytes, size_t alignment)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (bytes + alignment - 1) / alignment * alignment;
    const size_t body = (room + 64 + page - 1) / page * page; /* some bytes before the data, always */
    guarded g = {.bytes = bytes, .map_bytes = body + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED || mprotect(g.map + body, page, PROT_NONE)) abort();
    memset(g.map, FILL, body);
    g.data = g.map + body - room;
    return g;
}

bool guarded_free(guarded *g)
{
    if (!g->map) return true;
    bool intact = true;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned char *p = g->map, *end = g->map + g->map_bytes - page; p < end; p++)
        if ((p < g->data || p >= g->data + g->bytes) && *p != FILL) intact = false;
    munmap(g->map, g->map_bytes);
    *g = (guarded){0};
    return intact;
}
