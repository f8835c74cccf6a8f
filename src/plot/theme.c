/* Colours, dashes and markers. The colours were searched for the largest least distance under three kinds of
 * colour blindness, at a contrast of 3:1 and more with the background; tests/plot/test_theme.c has the
 * measure. Dashes and markers tell series apart without any colour.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "plot/theme.h"

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
    fputs(".mqa-chart{font-family:system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",\"DejaVu "
          "Sans\","
          "sans-serif;font-size:13px}\n"
          ".mqa-chart .bg{fill:#fff}.mqa-chart text{fill:#222}.mqa-chart .soft{fill:#555}\n"
          ".mqa-chart .title{font-size:16px;font-weight:bold}.mqa-chart .small{font-size:12px}\n"
          ".mqa-chart .halo{stroke:#fff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}\n"
          ".mqa-chart .grid{stroke:#e2e2e2;fill:none}.mqa-chart .axis{stroke:#777;fill:none}\n"
          ".mqa-chart .mark{stroke:#333;stroke-width:1.5;fill:none}\n"
          ".mqa-chart .line{stroke:currentColor;stroke-width:2.2;stroke-linejoin:round;fill:none}\n"
          ".mqa-chart .marker{fill:currentColor;stroke:#fff;stroke-width:1}\n"
          ".mqa-chart .hollow{fill:#fff;stroke:currentColor;stroke-width:2}\n"
          ".mqa-chart .bar{fill:currentColor}\n"
          ".mqa-chart .s1{color:#0072b2}"
          ".mqa-chart .s2{color:#d55e00}"
          ".mqa-chart .s3{color:#1fa49f}"
          ".mqa-chart .s4{color:#601e68}\n"
          ".mqa-chart .s5{color:#6f935a}"
          ".mqa-chart .s6{color:#333333}"
          ".mqa-chart .s7{color:#6f2000}"
          ".mqa-chart .s8{color:#2f3cbe}\n"
          "@media screen and (prefers-color-scheme:dark){\n"
          ".mqa-chart .bg{fill:#16181d}.mqa-chart text{fill:#e8e8e8}.mqa-chart .soft{fill:#b0b4bb}\n"
          ".mqa-chart .halo{stroke:#16181d}.mqa-chart .grid{stroke:#34373e}.mqa-chart .axis{stroke:#8b8f97}\n"
          ".mqa-chart .mark{stroke:#d0d0d0}.mqa-chart .marker{stroke:#16181d}\n"
          ".mqa-chart .hollow{fill:#16181d;stroke:currentColor}\n"
          ".mqa-chart .s1{color:#56b4e9}"
          ".mqa-chart .s2{color:#ff8a3d}"
          ".mqa-chart .s3{color:#91c994}"
          ".mqa-chart .s4{color:#aa64ef}\n"
          ".mqa-chart .s5{color:#b0fc88}"
          ".mqa-chart .s6{color:#e4e4e4}"
          ".mqa-chart .s7{color:#a97e4c}"
          ".mqa-chart .s8{color:#cd619a}\n"
          "}\n",
          out);
}
