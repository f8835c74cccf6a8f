/* What `mqa compare` prints: a table, objects, lines of commas.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "compare.h"

static const char *label_of(const compare_job *job, const mqa_compare_cell *cell)
{
    return job->result->designs[cell->design].label;
}

/* ---- the table ---- */

/* What the designs have in common, and what each keeps of a token. */
static void print_designs(const compare_job *job)
{
    const mqa_compare_result *r = job->result;
    const mqa_model_info *m = &r->info[0];
    const mqa_kv_type k = job->common.kv[0], v = job->common.kv[1];
    printf("%s: %d layers, %d wide, FFN %d, %d heads, %d tokens; K and V in %s%s%s; %s, %d threads\n",
           job->path ? m->name : "random weights", m->n_layers, m->n_embd, m->n_ff, m->n_heads, m->n_vocab,
           mqa_kv_type_name(k), k == v ? "" : "/", k == v ? "" : mqa_kv_type_name(v), r->recipe,
           mqa_context_n_threads(job->ctx));
    printf("planned for: %s (%s)\n\n", job->machine.name, job->machine.source);
    printf("%-8s %9s %12s %12s %14s\n", "design", "KV heads", "dims", "parameters", "KV a token");
    for (int i = 0; i < r->n_designs; i++) {
        char dims[24];
        snprintf(dims, sizeof dims, r->info[i].kv_lora_rank ? "%d + %d" : "%d",
                 r->info[i].kv_lora_rank ? r->info[i].kv_lora_rank : r->info[i].head_dim,
                 r->info[i].head_dim - r->info[i].kv_lora_rank);
        double bytes = 0;
        for (int g = 0; g < r->designs[i].n_groups; g++) {
            const mqa_cache_config config = mqa_group_cache(&r->designs[i].groups[g], k, v);
            bytes += (double)mqa_cache_page_bytes(&config) / 64;
        }
        printf("%-8s %9d %12s %11.2fM %14s\n", r->designs[i].label, r->info[i].n_kv_heads, dims,
               (double)r->info[i].n_params * 1e-6, cli_bytes(bytes));
    }
    if (r->left_out[0]) printf("left out: %s\n", r->left_out);
}

static void print_cell(const compare_job *job, const mqa_compare_cell *c)
{
    printf("  %-8s %11s", label_of(job, c), cli_bytes((double)c->plan_kv_bytes));
    if (c->left_out) {
        printf("   more than --memory for all designs together\n");
        return;
    }
    printf(" %10.3f %5.0f %% %10.3f %6.1f %% %11.1f %6.0f %%  %s\n", c->seconds * 1e3, 100 * c->spread,
           c->plan_seconds * 1e3, 100 * mqa_compare_error(c), mqa_compare_rate(c, c->seconds),
           100 * c->limit_seconds / c->seconds, mqa_bound_name(c->bound));
}

static void print_group_title(const mqa_compare_cell *c)
{
    if (c->prompt)
        printf("\nprompt of %" PRId64 " tokens\n", c->context);
    else
        printf("\na token for %d request%s of %" PRId64 "\n", c->batch, c->batch == 1 ? "" : "s", c->context);
    printf("  %-8s %11s %10s %7s %10s %8s %11s %8s  %s\n", "design", "KV cache", "ms", "spread", "plan ms",
           "error", "tokens/s", "of limit", "bound");
}

void compare_print_table(const compare_job *job)
{
    const mqa_compare_result *r = job->result;
    static const char *const phases[] = {"decoding", "prompts"};
    print_designs(job);
    for (int i = 0; i < r->n_cells; i++) {
        if (i % r->n_designs == 0) print_group_title(&r->cells[i]);
        print_cell(job, &r->cells[i]);
    }
    printf("\n");
    for (int p = 0; p < 2; p++)
        if (!isnan(r->median_error[p]))
            printf("the plan is off by %.1f %% in %s (median)\n", 100 * r->median_error[p], phases[p]);
}

/* ---- objects and lines ---- */

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *cell_json(const compare_job *job, const mqa_compare_cell *c)
{
    const mqa_model_info *m = &job->result->info[c->design];
    json_t *o = json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:f, s:f, s:f, s:s, s:b}",
                          "design", label_of(job, c), "phase", c->prompt ? "prompt" : "decode", "context",
                          (json_int_t)c->context, "requests", c->batch, "heads", m->n_heads, "kv_heads",
                          m->n_kv_heads, "head_dim", m->head_dim, "head_dim_v", m->head_dim_v, "parameters",
                          (json_int_t)m->n_params, "plan_kv_bytes", (json_int_t)c->plan_kv_bytes, "plan_ms",
                          c->plan_seconds * 1e3, "plan_tokens_per_s", mqa_compare_rate(c, c->plan_seconds),
                          "limit_ms", c->limit_seconds * 1e3, "bound", mqa_bound_name(c->bound), "left_out",
                          (int)c->left_out);
    if (!o || c->left_out) return o;
    json_t *measured =
        json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:i}", "kv_bytes", (json_int_t)c->kv_bytes, "ms",
                  c->seconds * 1e3, "ms_best", c->best * 1e3, "spread", c->spread, "tokens_per_s",
                  mqa_compare_rate(c, c->seconds), "error", mqa_compare_error(c), "of_limit",
                  c->limit_seconds / c->seconds, "runs", c->runs);
    json_object_update(o, measured);
    json_decref(measured);
    return o;
}

/* An object for each cell, and one of the whole. */
void compare_print_json(const compare_job *job)
{
    const mqa_compare_result *r = job->result;
    for (int i = 0; i < r->n_cells; i++) cli_print_json(cell_json(job, &r->cells[i]));
    cli_print_json(json_pack(
        "{s:o, s:o, s:s, s:s, s:i, s:s, s:s, s:s}", "decode_error", real_or_null(r->median_error[0]),
        "prompt_error", real_or_null(r->median_error[1]), "machine", job->machine.name, "recipe", r->recipe,
        "threads", mqa_context_n_threads(job->ctx), "k_type", mqa_kv_type_name(job->common.kv[0]), "v_type",
        mqa_kv_type_name(job->common.kv[1]), "designs_left_out", r->left_out));
}

void compare_write_csv(const compare_job *job, FILE *out)
{
    const mqa_compare_result *r = job->result;
    fprintf(out, "design,phase,context,requests,kv_heads,plan_kv_bytes,kv_bytes,ms,ms_best,spread,plan_ms,"
                 "error,tokens_per_s,"
                 "limit_ms,of_limit,bound,runs\n");
    for (int i = 0; i < r->n_cells; i++) {
        const mqa_compare_cell *c = &r->cells[i];
        fprintf(out, "%s,%s,%" PRId64 ",%d,%d,%zu,", label_of(job, c), c->prompt ? "prompt" : "decode",
                c->context, c->batch, r->info[c->design].n_kv_heads, c->plan_kv_bytes);
        if (c->left_out)
            fprintf(out, ",,,,%.6g,,,%.6g,,%s,0\n", c->plan_seconds * 1e3, c->limit_seconds * 1e3,
                    mqa_bound_name(c->bound));
        else
            fprintf(out, "%zu,%.6g,%.6g,%.4f,%.6g,%.4f,%.6g,%.6g,%.4f,%s,%d\n", c->kv_bytes, c->seconds * 1e3,
                    c->best * 1e3, c->spread, c->plan_seconds * 1e3, mqa_compare_error(c),
                    mqa_compare_rate(c, c->seconds), c->limit_seconds * 1e3, c->limit_seconds / c->seconds,
                    mqa_bound_name(c->bound), c->runs);
    }
}
