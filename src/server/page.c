/* SPDX-License-Identifier: Apache-2.0 */
#include "server/page.h"

#include <string.h>

static const struct {
    const char *path, *name, *type;
} paths[] = {
    {"/", "index.html", "text/html; charset=utf-8"},
    {"/page.js", "page.js", "text/javascript; charset=utf-8"},
    {"/page.css", "page.css", "text/css; charset=utf-8"},
    {"/icon.svg", "icon.svg", "image/svg+xml"},
    {"/openapi.json", "openapi.json", "application/json; charset=utf-8"},
};

bool mqa_page_find(const char *path, mqa_page_file *out)
{
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strcmp(path, paths[i].path) != 0) continue;
        for (int k = 0; k < mqa_n_embedded_files; k++) {
            const mqa_embedded_file *f = &mqa_embedded_files[k];
            if (strcmp(f->name, paths[i].name) != 0) continue;
            *out = (mqa_page_file){paths[i].type, f->bytes, f->n};
            return true;
        }
    }
    return false;
}
