/* Files that the server has in itself: its page, its interface's description.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_PAGE_H
#define MQA_SERVER_PAGE_H

#include <stddef.h>

typedef struct mqa_page_file {
    const char *path; /* of the URL */
    const char *type;
    const unsigned char *bytes;
    size_t n;
} mqa_page_file;

/* NULL: there is none at that path. */
const mqa_page_file *mqa_page_find(const char *path);

#endif
