/* Random cases over everything that mqa/attention.h offers. Each is solved in two ways, which must agree to
 * the bit; some of its rows are compared with the float64 oracle, and those of portable with the
 * specification, to the bit.
 *
 *     test_cases [COLUMN]      ratios, dims, queries, …: cases that vary this one most; default: all in turn
 *
 *     MQA_CASES=20000          how many
 *     MQA_SEED=1               from which on
 *     MQA_CASE='NAME=VALUE …'  this one alone, as a failure prints it
 *     MQA_SHRINK=0             doesn't make smaller what fails
 *     MQA_VERBOSE=1            prints each before it runs
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "cases.h"
#include "kernels/kernels.h"

enum { MESSAGE = 1024, LINE = 4096 };

/* ---- one case -------------------------------------------------------------------------------------------
 */

static bool is_fast(const test_case *c)
{
    return strcmp(mqa_kernels_get((mqa_isa)c->route[0].isa)->attention[c->numerics].recipe,
                  MQA_RECIPE_PORTABLE) != 0;
}

/* For the NMSE of a whole run: NAN where it tells nothing. */
typedef struct error_sum {
    double error, reference;
} error_sum;
static error_sum sums[MQA_KV_TYPES][MQA_KV_TYPES][2];

static void add_error(const test_case *c, const oracle_row *right, const float *out, bool fast)
{
    if (c->values != VALUES_GAUSSIAN || c->slopes != SLOPES_NONE)
        return; /* the error is of the score's size */
    error_sum *sum = &sums[c->k_type][c->v_type][fast];
    for (int i = 0; i < c->d_v; i++) {
        const double off = (double)out[i] - right->out[i];
        sum->error += off * off;
        sum->reference += right->out[i] * right->out[i];
    }
}

static bool check_specified(const problem *p, row_id id, const float *out, float lse, char *why)
{
    float right[1024], right_lse;
    specified_row(p, id, right, &right_lse);
    if (nextafterf(right_lse, lse) == lse) right_lse = lse; /* log is the library's own */
    for (int i = 0; i < p->shape.d_v; i++)
        if (memcmp(&out[i], &right[i], sizeof *out) != 0)
            return snprintf(why, 256, "out[%d] is %a, specified is %a", i, (double)out[i], (double)right[i]),
                   false;
    if (memcmp(&lse, &right_lse, sizeof lse) != 0)
        return snprintf(why, 256, "lse is %a, specified is %a", (double)lse, (double)right_lse), false;
    return true;
}

static bool check_row(const test_case *c, const problem *p, const problem *stored, const answer *a, row_id id,
                      char *why)
{
    const int64_t row = id.query * p->shape.n_heads + id.head;
    const float *out = a->out[id.sequence] + row * p->shape.d_v, lse = a->lse[id.sequence][row];
    const bool fast = is_fast(c);
    oracle_row right = oracle_of(stored, id);
    char what[256];
    bool good = within_bounds(stored, id, &right, fast, out, lse, what);
    if (good) add_error(c, &right, out, fast);
    if (good && !fast) good = check_specified(p, id, out, lse, what);
    free_oracle_row(&right);
    if (!good)
        snprintf(why, MESSAGE, "sequence %d, query %lld (at %lld), head %d: %s", id.sequence,
                 (long long)id.query, (long long)position_of(p, id.sequence, id.query), id.head, what);
    return good;
}

/* The first and the last query of each sequence, and as many others as there is patience for. */
static bool check_rows(const test_case *c, const problem *p, const answer *a, char *why)
{
    const int64_t patience = 300000;
    uint64_t rng = (uint64_t)c->seed;
    problem stored = stored_problem(p);
    bool good = true;
    for (int i = 0; i < c->n_sequences && good; i++) {
        const int64_t n = c->of[i].n_queries, heads = p->shape.n_heads;
        const int64_t cost = (c->of[i].n + 1) * (c->d + c->d_v) * c->n_sequences;
        int64_t rows = patience / cost < 2 ? 2 : patience / cost;
        const bool all = rows >= n * heads;
        if (all) rows = n * heads;
        for (int64_t r = 0; r < rows && good; r++) {
            const int64_t query = all      ? r / heads
                                  : r == 0 ? 0
                                  : r == 1 ? n - 1
                                           : random_between(&rng, 0, n - 1);
            const int head = (int)(all ? r % heads : random_between(&rng, 0, heads - 1));
            good = check_row(c, p, &stored, a, (row_id){i, query, head}, why);
        }
    }
    free_stored(&stored);
    return good;
}

/* Half a million MACs at most in why's rows; the rest is compared route by route. */
static bool check_case(const test_case *c, char *why)
{
    const problem_shape shape = case_shape(c);
    uint64_t rng = (uint64_t)c->seed;
    problem p = make_problem(&shape, &rng);
    answer a[N_ROUTES] = {0};
    bool good = true;
    for (int i = 0; i < N_ROUTES && good; i++) {
        const route way = case_way(c, i);
        row_id row;
        good = try_solve(&p, &way, &a[i], why);
        if (good && i == 0) good = check_rows(c, &p, &a[0], why);
        if (good && i > 0 && !same_bits(&p, &a[0], &a[i], &row)) {
            const int64_t r = row.query * shape.n_heads + row.head;
            snprintf(why, MESSAGE,
                     "the two ways differ: sequence %d, query %lld, head %d: out[0] %a and %a, lse %a and %a",
                     row.sequence, (long long)row.query, row.head,
                     (double)a[0].out[row.sequence][r * shape.d_v],
                     (double)a[i].out[row.sequence][r * shape.d_v], (double)a[0].lse[row.sequence][r],
                     (double)a[i].lse[row.sequence][r]);
            good = false;
        }
    }
    for (int i = 0; i < N_ROUTES; i++) free_answer(&p, &a[i]);
    free_problem(&p);
    return good;
}

/* ---- failing ---------------------------------------------------------------------------------------------
 */

static char running[LINE]; /* the case at hand, for those that die */

static void say_running(void)
{
    static const char head[] = "\nthis case died (not made smaller): MQA_CASE='";
    if (!running[0] || write(2, head, sizeof head - 1) < 0) return;
    if (write(2, running, strlen(running)) < 0 || write(2, "'\n", 2) < 0) return;
}

static void died(int sig)
{
    say_running();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* The sanitizers' hook. */
void __asan_on_error(void);
void __asan_on_error(void)
{
    say_running();
}

static void run_line(const test_case *c)
{
    print_case(c, running, sizeof running);
    if (getenv("MQA_VERBOSE")) printf("MQA_CASE='%s'\n", running), fflush(stdout);
}

static test_case shrink(test_case c)
{
    char why[MESSAGE];
    test_case next;
    int tries = 0;
    for (int n = 0; tries < 3000 && smaller_case(&c, n, &next);) {
        n++;
        if (memcmp(&next, &c, sizeof c) == 0) continue;
        tries++;
        run_line(&next);
        if (check_case(&next, why)) continue;
        c = next;
        n = 0;
    }
    return c;
}

static int report(const test_case *c, const char *origin, const char *why)
{
    char line[LINE], small_why[MESSAGE] = "";
    print_case(c, line, sizeof line);
    printf("FAILED: %s\n  %s\n  MQA_CASE='%s'\n", origin, why, line);
    fflush(stdout);
    const char *shrinking = getenv("MQA_SHRINK");
    if (shrinking && strcmp(shrinking, "0") == 0) return 1;
    const test_case small = shrink(*c);
    print_case(&small, line, sizeof line);
    check_case(&small, small_why);
    printf("made smaller:\n  %s\n  MQA_CASE='%s'\n", small_why, line);
    return 1;
}

/* ---- all of them ------------------------------------------------------------------------------------------
 */

static int check_sums(void)
{
    int wrong = 0;
    for (int k = 0; k < MQA_KV_TYPES; k++)
        for (int v = 0; v < MQA_KV_TYPES; v++)
            for (int fast = 0; fast < 2; fast++) {
                const error_sum *sum = &sums[k][v][fast];
                if (sum->reference == 0) continue;
                const double nmse = sum->error / sum->reference;
                const double bound = fmax(format_error_of((mqa_kv_type)k, fast)->nmse_to_stored,
                                          format_error_of((mqa_kv_type)v, fast)->nmse_to_stored);
                printf("%s K %-5s V %-5s NMSE %.1e to the stored values (at most %.0e)\n",
                       fast ? "fast    " : "portable", mqa_kv_type_name((mqa_kv_type)k),
                       mqa_kv_type_name((mqa_kv_type)v), nmse, bound);
                wrong += !(nmse <= bound);
            }
    return wrong;
}

static int run_cases(int only, long n_cases, uint64_t seed)
{
    char why[MESSAGE], origin[64];
    for (long i = 0; i < n_cases; i++) {
        const column which = only >= 0 ? (column)only : (column)(i % COLUMNS);
        const test_case c = random_case(which, seed + (uint64_t)i);
        run_line(&c);
        if (check_case(&c, why)) continue;
        snprintf(origin, sizeof origin, "%s, MQA_SEED=%llu", column_names[which],
                 (unsigned long long)(seed + (uint64_t)i));
        return report(&c, origin, why);
    }
    printf("%ld cases\n", n_cases);
    return check_sums() ? 1 : 0;
}

static int run_one(const char *text)
{
    char why[MESSAGE];
    test_case c;
    if (!parse_case(text, &c)) return fprintf(stderr, "MQA_CASE isn't one: '%s'\n", text), 2;
    run_line(&c);
    if (check_case(&c, why)) return printf("good\n"), 0;
    return report(&c, "MQA_CASE", why);
}

int main(int argc, char **argv)
{
    const char *seed = getenv("MQA_SEED"), *cases = getenv("MQA_CASES"), *one = getenv("MQA_CASE");
    int only = -1;
    for (int i = 0; argc > 1 && i < COLUMNS; i++)
        if (strcmp(argv[1], column_names[i]) == 0) only = i;
    if (argc > 1 && only < 0) return fprintf(stderr, "no column '%s'\n", argv[1]), 2;
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
#ifndef __SANITIZE_ADDRESS__
    for (size_t i = 0; i < sizeof deadly / sizeof deadly[0]; i++) signal(deadly[i], died);
#else
    signal(deadly[4], died);
#endif
    if (one) return run_one(one);
    const uint64_t from = seed ? strtoull(seed, NULL, 10) : 1;
    printf("MQA_SEED=%llu %s\n", (unsigned long long)from, only >= 0 ? column_names[only] : "all columns");
    return run_cases(only, cases ? atol(cases) : MQA_DEFAULT_CASES, from);
}
