/* Which maps are drawn, and as what: for the files that write pictures.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_INSPECT_PICTURES_H
#define MQA_CLI_INSPECT_PICTURES_H

#include "inspect.h"

/* Whether --layers and --heads, where they are given, name it. */
bool inspect_shows_layer(const inspect_job *job, int layer);
bool inspect_shows_head(const inspect_job *job, int head);

/* One head's map, scale pixels a bin. The caller frees *png. */
mqa_status inspect_map_png(const inspect_job *job, int layer, int head, int scale, char **png, size_t *n,
                           mqa_error *err);
/* Every colour once, from nothing to all. */
mqa_status inspect_legend_png(char **png, size_t *n, mqa_error *err);
/* "6.6 bits, sinks 17 %". */
void inspect_caption(const inspect_job *job, int layer, int head, char *out, size_t size);
/* "sees all", "sees 512". */
void inspect_sight(const inspect_job *job, int layer, char *out, size_t size);

#endif
