/* What a style of series looks like.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_PLOT_THEME_H
#define MQA_PLOT_THEME_H

typedef struct mqa_series_look {
    const char *dashes; /* stroke-dasharray, "" for a whole line */
    const char *marker; /* path about (0, 0), filled, some 9 pixels wide */
} mqa_series_look;

/* style: 1 .. MQA_CHART_STYLES. Its colour is that of the CSS class "s1" .. */
mqa_series_look mqa_theme_look(int style);

#endif
