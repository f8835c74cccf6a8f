/* Dashes and markers, which tell series apart without any colour; colours are in chart.css. Those were
 * searched for the largest least distance under three kinds of colour blindness, at a contrast of 3:1 and
 * more with the background; tests/plot/test_theme.c has the measure.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/theme.h"

#include "embedded/chart_css.h"
#include "plot/chart.h"

mqa_series_look mqa_theme_look(int style)
{
    static const mqa_series_look looks[MQA_CHART_STYLES] = {
        {"", "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z"}, /* circle */
        {"7 3", "M-4-4h8v8h-8z"},                             /* square */
        {"2 2.5", "M0-5.2L5 3.8h-10z"},                       /* triangle */
        {"9 3 2 3", "M0-5.5L5.5 0L0 5.5L-5.5 0z"},            /* diamond */
        {"14 4", "M0 5.2L5-3.8h-10z"},                        /* triangle, upside down */
        {"5 2 2 2 2 2", "M-1.7-5h3.4v3.3h3.3v3.4h-3.3v3.3h-3.4v-3.3h-3.3v-3.4h3.3z"}, /* plus */
        {"3 6", "M0-5.4L5.1-1.7L3.2 4.4h-6.4L-5.1-1.7z"},                             /* pentagon */
        {"12 3 4 3",
         "M-5-2.6L-2.6-5L0-2.4L2.6-5L5-2.6L2.4 0L5 2.6L2.6 5L0 2.4L-2.6 5L-5 2.6L-2.4 0z"}, /* cross */
    };
    return looks[style >= 1 && style <= MQA_CHART_STYLES ? style - 1 : 0];
}

void mqa_chart_style(FILE *out)
{
    fputs((const char *)mqa_embedded_chart_css, out);
}
