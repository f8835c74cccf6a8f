/* Files that the server has in itself: its page, its interface's description.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_SERVER_PAGE_H
#define MQA_SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/* Made by cmake/Embed.cmake from the files in page/. */
typedef struct mqa_embedded_file {
    const char *name, *bytes;
    size_t n;
} mqa_embedded_file;
extern const mqa_embedded_file mqa_embedded_files[];
extern const int mqa_n_embedded_files;

typedef struct mqa_page_file {
    const char *type, *bytes;
    size_t n;
} mqa_page_file;

/* By the path of a URL: "/", "/page.js", …; false: there is none. */
bool mqa_page_find(const char *path, mqa_page_file *out);

#endif
