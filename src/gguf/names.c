/* Lookup by name: sorted arrays, so that no choice of names makes it slow.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <stdlib.h>
#include <string.h>

#include "gguf/reader.h"

/* item: points to a struct whose first member is its name. */
static const char *name_of(const void *item)
{
    const char *name;
    memcpy(&name, item, sizeof name);
    return name;
}

static int compare(const void *a, const void *b)
{
    return strcmp(name_of(*(const void *const *)a), name_of(*(const void *const *)b));
}

const char *mqa_gguf_sort_names(const void **items, size_t n)
{
    if (n > 1) qsort(items, n, sizeof *items, compare);
    for (size_t i = 1; i < n; i++)
        if (compare(&items[i - 1], &items[i]) == 0) return name_of(items[i]);
    return NULL;
}

const void *mqa_gguf_search_names(const void *const *items, size_t n, const char *name)
{
    const void *key = &name; /* looks like an item whose first member is the name */
    const void *const *found = n ? bsearch(&key, items, n, sizeof *items, compare) : NULL;
    return found ? *found : NULL;
}
