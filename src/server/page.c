/* SPDX-License-Identifier: Apache-2.0 */
#include "server/page.h"

#include <string.h>

#include "embedded/icon_svg.h"
#include "embedded/index_html.h"
#include "embedded/openapi_json.h"
#include "embedded/page_css.h"
#include "embedded/page_js.h"

#define FILE_AT(path, type, name)                                                                            \
    {                                                                                                        \
        path, type, mqa_embedded_##name, sizeof mqa_embedded_##name - 1                                      \
    }

static const mqa_page_file files[] = {
    FILE_AT("/", "text/html; charset=utf-8", index_html),
    FILE_AT("/page.js", "text/javascript; charset=utf-8", page_js),
    FILE_AT("/page.css", "text/css; charset=utf-8", page_css),
    FILE_AT("/icon.svg", "image/svg+xml", icon_svg),
    FILE_AT("/openapi.json", "application/json; charset=utf-8", openapi_json),
};

const mqa_page_file *mqa_page_find(const char *path)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(path, files[i].path) == 0) return &files[i];
    return NULL;
}
