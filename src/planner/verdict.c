/* The report in sentences.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "planner/forecast.h"

typedef struct text {
    char of[24];
} text;

/* "1.25 GiB" */
static text bytes_text(size_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
    text t;
    double n = (double)bytes;
    int unit = 0;
    for (; n >= 1024 && unit < 5; unit++) n /= 1024;
    snprintf(t.of, sizeof t.of, unit ? "%.2f %s" : "%.0f %s", n, units[unit]);
    return t;
}

/* "60,000" */
static text count_text(int64_t n)
{
    text t;
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && at + 1 < (int)sizeof t.of) t.of[at++] = ',';
        if (at + 1 < (int)sizeof t.of) t.of[at++] = digits[i];
    }
    t.of[at] = 0;
    return t;
}

/* "5.1 ms", "2.3 s", "3.1 h" */
static text time_text(double seconds)
{
    text t;
    if (seconds < 1)
        snprintf(t.of, sizeof t.of, "%.3g ms", seconds * 1e3);
    else if (seconds < 600)
        snprintf(t.of, sizeof t.of, "%.3g s", seconds);
    else if (seconds < 36000)
        snprintf(t.of, sizeof t.of, "%.3g minutes", seconds / 60);
    else
        snprintf(t.of, sizeof t.of, "%.3g hours", seconds / 3600);
    return t;
}

__attribute__((format(printf, 2, 3))) static void say(mqa_report *r, const char *fmt, ...)
{
    if (r->n_verdict == MQA_VERDICT_LINES) return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->verdict[r->n_verdict++], sizeof r->verdict[0], fmt, args);
    va_end(args);
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

static void say_memory(mqa_report *r, const mqa_figures *f)
{
    const int64_t n = r->demand.requests;
    const text peak = bytes_text(f->peak_bytes), weights = bytes_text(f->weights_bytes);
    const text kv = bytes_text(f->kv_peak_bytes), memory = bytes_text(f->memory);
    const char *const fit = n == 1 ? "fits" : "fit", *const do_not = n == 1 ? "does not fit" : "do not fit";
    if (f->memory == 0)
        say(r, "%s request%s of %s tokens %s %s: weights %s, KV cache %s.", count_text(n).of, plural(n),
            count_text(f->context).of, n == 1 ? "takes" : "take", peak.of, weights.of, kv.of);
    else
        say(r, "%s request%s of %s tokens %s: %s of %s, weights %s and KV cache %s.", count_text(n).of,
            plural(n), count_text(f->context).of, f->fits ? fit : do_not, peak.of, memory.of, weights.of,
            kv.of);
    if (f->memory == 0) return;
    if (f->max_requests == 0)
        say(r, "Not one request of that length fits.");
    else if (f->max_requests < MQA_MAX_REQUESTS)
        say(r, "At most %s request%s of that length fit%s.", count_text(f->max_requests).of,
            plural(f->max_requests), f->max_requests == 1 ? "s" : "");
    if (f->kv_saved_bytes > 0)
        say(r, "The %s tokens that they share save %s of KV cache.", count_text(r->demand.shared).of,
            bytes_text(f->kv_saved_bytes).of);
}

static void say_bottleneck(mqa_report *r, const mqa_figures *f)
{
    const mqa_times *t = &f->token;
    const double all = t->seconds > 0 ? t->seconds : 1;
    static const char *const of_bound[MQA_BOUNDS] = {"reading memory", "arithmetic",
                                                     "what comes with every step and layer"};
    say(r,
        "A token takes %s after %s tokens: %.0f %% of it weights, %.0f %% attention, %.0f %% the rest; what "
        "holds it is "
        "%s (%.3g operations a byte; attention alone %.3g).",
        time_text(t->seconds).of, count_text(f->context).of, 100 * t->weights / all, 100 * t->attention / all,
        100 * t->overhead / all, of_bound[t->bound], t->intensity, t->attention_intensity);
    if (f->prompt.seconds > 0)
        say(r, "The prompt takes %s, held by %s.", time_text(f->prompt.seconds).of,
            of_bound[f->prompt.bound]);
}

static void say_wishes(mqa_report *r, const mqa_figures *f)
{
    const mqa_demand *d = &r->demand;
    const double rate = 1 / f->token.seconds;
    if (d->want_tokens_per_s > 0)
        say(r, "Each request gets %.3g tokens a second, %s the %.3g that are wanted.", rate,
            rate >= d->want_tokens_per_s ? "at least" : "less than", d->want_tokens_per_s);
    if (d->want_prompt_ms > 0 && f->prompt_ms > d->want_prompt_ms)
        say(r, "The first token comes later than the %s that are wanted.",
            time_text(d->want_prompt_ms * 1e-3).of);
}

static void say_tenants(mqa_report *r)
{
    int too_large = 0, first = -1;
    for (int i = r->demand.n_tenants - 1; i >= 0; i--)
        if (!r->tenants[i].fits) {
            too_large++;
            first = i;
        }
    if (r->demand.n_tenants == 0) return;
    if (too_large == 0)
        say(r, "All %d tenants keep their budgets, and together they %s the memory.", r->demand.n_tenants,
            r->tenants_fit ? "fit in" : "exceed");
    else
        say(r, "%d of %d tenants %s, the first of them %s: it holds %s of %s requests.", too_large,
            r->demand.n_tenants, too_large == 1 ? "exceeds its budget" : "exceed their budgets",
            r->demand.tenants[first].name, count_text(r->tenants[first].max_requests).of,
            count_text(r->demand.tenants[first].requests).of);
}

static void say_change(mqa_report *r, bool retrains, const char *begin)
{
    static const char *const of_goal[] = {"memory", "the KV cache", "the prompt's time", "a token's time"};
    const bool missed = mqa_goal_is_missed(r);
    for (int i = 0; i < r->n_changes; i++) {
        const mqa_change *c = &r->changes[i];
        if (c->retrains != retrains) continue;
        say(r, "%s: %s, which divides %s by %.3g%s. Its cost: %s.", begin, c->what, of_goal[mqa_goal_of(r)],
            c->gain,
            !missed      ? ""
            : c->settles ? " and is enough"
                         : " but is not enough alone",
            c->cost);
        return;
    }
}

/* "KV cache 1/4, tokens 1.3 times as fast, 2 % fewer parameters." */
static void say_beside(mqa_report *r, int design)
{
    const mqa_figures *a = &r->rows[0][0], *b = &r->rows[design][0];
    const double kv = (double)b->kv_bytes / (double)a->kv_bytes, speed = a->ms_per_token / b->ms_per_token;
    const double parameters = 100 * ((double)b->parameters / (double)a->parameters - 1);
    char cache[40];
    if (kv < 1)
        snprintf(cache, sizeof cache, "1/%.3g", 1 / kv);
    else
        snprintf(cache, sizeof cache, "%.3g times", kv);
    char count[40] = "as many";
    if (parameters > 0.05 || parameters < -0.05)
        snprintf(count, sizeof count, "%.1f %% %s", parameters < 0 ? -parameters : parameters,
                 parameters < 0 ? "fewer" : "more");
    snprintf(r->beside[design], sizeof r->beside[design],
             "KV cache %s, tokens %.3g times as fast, %s parameters.", cache, speed, count);
}

void mqa_report_verdict(mqa_report *r)
{
    for (int i = 1; i < r->n_designs; i++) say_beside(r, i);
    const mqa_figures *f = &r->rows[0][0];
    r->n_verdict = 0;
    say_memory(r, f);
    say_bottleneck(r, f);
    say_wishes(r, f);
    say_tenants(r);
    if (r->n_verdict > MQA_VERDICT_LINES - 2) r->n_verdict = MQA_VERDICT_LINES - 2;
    say_change(r, false, "What helps most with the model as it is");
    say_change(r, true, "What helps most with a model trained for it");
}
