/* The report of `mqa plan` for people.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "plan.h"

/* Wrapped at spaces; later lines are indented. */
static void print_wrapped(const char *text)
{
    enum { WIDTH = 100 };
    int column = 0;
    while (*text) {
        const int n = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + n > WIDTH) {
            printf("\n  ");
            column = 2;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        printf("%.*s", n, text);
        column += n;
        text += n;
        while (*text == ' ') text++;
    }
    putchar('\n');
}

static const char *count(double n)
{
    static char buffers[4][16];
    static int next;
    char *out = buffers[next++ % 4];
    static const char *const units[] = {"", " k", " M", " G", " T"};
    int unit = 0;
    for (; n >= 1000 && unit < 4; unit++) n /= 1000;
    snprintf(out, sizeof buffers[0], unit ? "%.2f%s" : "%.0f%s", n, units[unit]);
    return out;
}

static const char *milliseconds(double ms)
{
    static char buffers[4][24];
    static int next;
    char *out = buffers[next++ % 4];
    if (ms < 1e4)
        snprintf(out, sizeof buffers[0], ms < 100 ? "%.2f ms" : "%.0f ms", ms);
    else
        snprintf(out, sizeof buffers[0], ms < 6e5 ? "%.1f s" : "%.0f s", ms * 1e-3);
    return out;
}

static void print_head(const mqa_report *r)
{
    const mqa_design *d = &r->designs[0];
    const mqa_demand *q = &r->demand;
    printf("model    %s (%s): %d layers, width %d, %d heads, vocabulary %d, %s parameters", d->name, d->arch,
           d->n_layers, d->n_embd, d->n_heads, d->n_vocab, count((double)r->rows[0][0].parameters));
    if (r->rows[0][0].active_parameters < r->rows[0][0].parameters)
        printf(", of which %s at work", count((double)r->rows[0][0].active_parameters));
    printf("\nmachine  %s: %sB/s, %sFLOP/s in bf16", r->machine.name, count(r->machine.bandwidth),
           count(r->machine.peak[MQA_RATE_BF16]));
    if (r->rows[0][0].memory) printf(", %s", cli_bytes((double)r->rows[0][0].memory));
    printf("\n         %s%s\n", r->machine.source,
           r->machine.measured ? "" : "; shares of it that kernels reach are assumed");
    printf("demand   %" PRId64 " request%s at once, %" PRId64 " tokens of each generated", q->requests,
           q->requests == 1 ? "" : "s", q->generate);
    if (q->shared) printf(", %" PRId64 " shared", q->shared);
    printf("; K %s, V %s, weights %s\n\n", mqa_kv_type_name(q->k_type), mqa_kv_type_name(q->v_type),
           mqa_weights_name(q->weights));
}

static void print_row(const mqa_report *r, int design, int context)
{
    const mqa_figures *f = &r->rows[design][context];
    char most[24] = "-";
    if (f->memory > 0) snprintf(most, sizeof most, "%" PRId64, f->max_requests);
    printf("%-14s %8" PRId64 " %8s %10s %10s %10s %10s %-4s %8s %9s %9s %9.1f %s\n", r->designs[design].label,
           f->context, count((double)f->parameters), cli_bytes((double)f->weights_bytes),
           cli_bytes((double)f->kv_bytes_per_token), cli_bytes((double)f->kv_bytes),
           cli_bytes((double)f->peak_bytes), f->fits ? "yes" : "no", most, milliseconds(f->prompt_ms),
           milliseconds(f->ms_per_token), f->tokens_per_s, mqa_bound_name(f->token.bound));
}

static void print_rows(const mqa_report *r)
{
    printf("%-14s %8s %8s %10s %10s %10s %10s %-4s %8s %9s %9s %9s %s\n", "design", "context", "values",
           "weights", "KV/token", "KV", "peak", "fits", "requests", "prompt", "token", "tokens/s", "bound");
    for (int d = 0; d < r->n_designs; d++)
        for (int c = 0; c < r->demand.n_contexts; c++) print_row(r, d, c);
    if (r->left_out[0]) printf("left out: %s\n", r->left_out);
}

static void print_cache(const mqa_report *r)
{
    const mqa_figures *f = &r->rows[0][0];
    printf("\nKV cache of one request of %" PRId64 " tokens\n", f->context);
    for (int k = 0; k < MQA_KINDS; k++)
        if (f->kv[k].n_layers)
            printf("  %-7s %3d layers  %10s a token  %11s\n", mqa_kind_name((mqa_kind)k), f->kv[k].n_layers,
                   cli_bytes((double)f->kv[k].bytes_per_token), cli_bytes((double)f->kv[k].request_bytes));
    printf(" ");
    for (int t = 0; t < MQA_KV_TYPES; t++)
        printf(" %s %s%s", mqa_kv_type_name((mqa_kv_type)t), cli_bytes((double)f->kv_request_by_type[t]),
               t + 1 < MQA_KV_TYPES ? "," : "\n");
    printf("weights\n ");
    for (int i = 0; i < MQA_WEIGHT_FORMATS; i++) {
        size_t bytes = 0;
        (void)mqa_design_weight_bytes(&r->designs[0], mqa_weight_formats[i], &bytes, NULL);
        printf(" %s %s%s", mqa_weights_name(mqa_weight_formats[i]), cli_bytes((double)bytes),
               i + 1 < MQA_WEIGHT_FORMATS ? "," : "\n");
    }
}

static void print_tenants(const mqa_report *r)
{
    if (r->demand.n_tenants == 0) return;
    printf("\n%-20s %9s %10s %10s %11s %11s %-5s %9s %12s\n", "tenant", "requests", "context", "shared", "KV",
           "budget", "keeps", "at most", "context then");
    for (int i = 0; i < r->demand.n_tenants; i++) {
        const mqa_tenant *t = &r->demand.tenants[i];
        const mqa_tenant_figures *f = &r->tenants[i];
        printf("%-20s %9" PRId64 " %10" PRId64 " %10" PRId64 " %11s %11s %-5s", t->name, t->requests,
               t->context, t->shared, cli_bytes((double)f->kv_bytes),
               t->budget_bytes ? cli_bytes((double)t->budget_bytes) : "none", f->fits ? "yes" : "no");
        if (t->budget_bytes)
            printf(" %9" PRId64 " %12" PRId64 "\n", f->max_requests, f->max_context);
        else
            printf(" %9s %12s\n", "-", "-");
    }
}

void plan_print_table(const mqa_report *r)
{
    print_head(r);
    print_rows(r);
    print_cache(r);
    print_tenants(r);
    putchar('\n');
    for (int i = 0; i < r->n_verdict; i++) print_wrapped(r->verdict[i]);
    for (int i = 1; i < r->n_designs; i++)
        if (r->beside[i][0]) printf("%s: %s\n", r->designs[i].label, r->beside[i]);
}

void plan_print_machines(bool json)
{
    for (int i = 0; i < mqa_machine_count(); i++) {
        const mqa_machine *m = mqa_machine_at(i);
        if (json)
            cli_print_json(json_pack("{s:s, s:f, s:f, s:f, s:f, s:I, s:s}", "machine", m->name, "bandwidth",
                                     m->bandwidth, "f32", m->peak[MQA_RATE_F32], "bf16",
                                     m->peak[MQA_RATE_BF16], "int8", m->peak[MQA_RATE_INT8], "memory_bytes",
                                     (json_int_t)m->memory, "source", m->source));
        else
            printf("%-20s %8.1f GB/s  f32 %9s  bf16 %9s  int8 %9s  %10s\n  %s\n", m->name,
                   m->bandwidth * 1e-9, count(m->peak[MQA_RATE_F32]), count(m->peak[MQA_RATE_BF16]),
                   count(m->peak[MQA_RATE_INT8]), cli_bytes((double)m->memory), m->source);
    }
}
