/* Configs and scenarios with bytes changed, cut, doubled and swapped for others: whatever comes of it, it is
 * one line or a report of finite numbers. Under the sanitizers this is what fuzzes the readers.
 * MQA_PLANNER_MUTANTS=N: so many of each file.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"

#include <dirent.h>
#include <math.h>

static const char *const words[] = {"0",
                                    "-1",
                                    "1",
                                    "99999999999999999999",
                                    "9223372036854775807",
                                    "1e308",
                                    "NaN",
                                    "null",
                                    "true",
                                    "[]",
                                    "{}",
                                    "\"\"",
                                    "65536",
                                    "16777216",
                                    "4096",
                                    "=",
                                    "\n",
                                    "#",
                                    "[",
                                    "]",
                                    ",",
                                    "GiB",
                                    "\xff\xfe",
                                    "\"llama4\"",
                                    "\"deepseek_v3\"",
                                    "\"falcon\""};

/* Bytes [at, at + gone) become word. */
static void splice(char *text, size_t *size, size_t room, size_t at, size_t gone, const char *word)
{
    const size_t length = strlen(word);
    if (gone > *size - at) gone = *size - at;
    if (*size - gone + length > room) return;
    memmove(text + at + length, text + at + gone, *size - at - gone);
    memcpy(text + at, word, length);
    *size = *size - gone + length;
}

/* The next number from at on; its length, or 0. */
static size_t find_number(const char *text, size_t size, size_t *at)
{
    size_t n = 0;
    while (*at < size && (text[*at] < '0' || text[*at] > '9')) ++*at;
    while (*at + n < size && text[*at + n] >= '0' && text[*at + n] <= '9') n++;
    return n;
}

/* One change, mostly of a number. */
static void mutate(random_state *r, char *text, size_t *size, size_t room)
{
    size_t at = *size ? (size_t)pick(r, 0, (int64_t)*size - 1) : 0, length;
    const char *word = words[pick(r, 0, (int64_t)(sizeof words / sizeof words[0]) - 1)];
    char number[32];
    switch (pick(r, 0, 11)) {
    case 0:
        if (*size) text[at] = (char)pick(r, 0, 255);
        break;
    case 1:
        splice(text, size, room, at, (size_t)pick(r, 0, 40), "");
        break;
    case 2:
        splice(text, size, room, at, 0, word);
        break;
    case 3:
        *size = at;
        break; /* the beginning only */
    case 4:
        length = find_number(text, *size, &at);
        splice(text, size, room, at, length, word);
        break;
    default:
        length = find_number(text, *size, &at);
        snprintf(number, sizeof number, "%lld", (long long)pick(r, 0, (int64_t)1 << pick(r, 0, 30)));
        if (length > 0) splice(text, size, room, at, length, number);
    }
}

static void check_figures(const mqa_figures *f)
{
    assert_true(isfinite(f->prompt_ms) && f->prompt_ms >= 0 && isfinite(f->ms_per_token) &&
                f->ms_per_token > 0);
    assert_true(isfinite(f->tokens_per_s) && isfinite(f->token.intensity));
    assert_true(f->parameters <= INT64_MAX && f->peak_bytes <= INT64_MAX);
    assert_true(f->peak_bytes >= f->weights_bytes && f->peak_bytes >= f->kv_peak_bytes);
    assert_true(f->kv_peak_bytes >= f->kv_bytes / 2 && f->max_requests >= 0 && f->max_context >= 0);
}

static void check_error(mqa_status status, const mqa_error *err, const char *path)
{
    if (status == MQA_OK) return;
    if (!err->message[0] || strchr(err->message, '\n') || strlen(err->message) < 8)
        fail_msg("%s: status %d without a line", path, (int)status);
}

static mqa_report *report;

static bool try_design(const mqa_design *design, const mqa_demand *demand, const char *path)
{
    static const mqa_variant variants[] = {MQA_VARIANT_MHA, MQA_VARIANT_GQA8, MQA_VARIANT_MQA,
                                           MQA_VARIANT_MLA, MQA_VARIANT_WINDOW};
    const mqa_machine machine = machine_of("L4");
    mqa_error err = {.message = ""};
    const mqa_status status = mqa_report_make(design, variants, 5, &machine, demand, report, &err);
    check_error(status, &err, path);
    if (status != MQA_OK) return false;
    for (int d = 0; d < report->n_designs; d++)
        for (int c = 0; c < report->demand.n_contexts; c++) check_figures(&report->rows[d][c]);
    return true;
}

static bool try_config(const char *path, const char *text, size_t size)
{
    mqa_design design;
    mqa_demand demand;
    mqa_demand_default(&demand);
    mqa_error err = {.message = ""};
    const mqa_status status = mqa_design_from_config(path, text, size, &design, &err);
    check_error(status, &err, path);
    return status == MQA_OK && try_design(&design, &demand, path);
}

static bool try_scenario(const char *path, const char *text, size_t size)
{
    mqa_scenario s;
    mqa_design design;
    mqa_error err = {.message = ""};
    mqa_status status = mqa_scenario_parse(path, text, size, &s, &err);
    check_error(status, &err, path);
    if (status != MQA_OK || s.model_file[0]) return false;
    status = mqa_design_from_shape(&s.shape, &design, &err);
    check_error(status, &err, path);
    return status == MQA_OK && try_design(&design, &s.demand, path);
}

typedef bool try_fn(const char *path, const char *text, size_t size);

static void mutate_all(const char *folder, const char *ending, try_fn *try)
{
    const char *asked = getenv("MQA_PLANNER_MUTANTS");
    const int per_file = asked ? atoi(asked) : 150;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    random_state r = {20261125};
    int taken = 0, refused = 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ending) != 0) continue;
        char path[1024];
        size_t whole;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        char *text = read_whole(path, &whole);
        const size_t room = 2 * whole + 64;
        for (int i = 0; i < per_file; i++) {
            char *mutant = malloc(room); /* of its own size, so that reading behind it is seen */
            assert_non_null(mutant);
            size_t size = whole;
            memcpy(mutant, text, whole);
            for (int64_t n = pick(&r, 1, 4); n > 0; n--) mutate(&r, mutant, &size, room);
            char *exact = realloc(mutant, size ? size : 1);
            if (try(path, exact, size))
                taken++;
            else
                refused++;
            free(exact);
        }
        free(text);
    }
    closedir(dir);
    print_message("%d taken, %d refused\n", taken, refused);
    assert_true(refused > 10 && (taken > 10 || strcmp(ending, ".scenario") == 0));
}

static void test_configs(void **unused)
{
    (void)unused;
    mutate_all(MQA_TEST_DATA, ".json", try_config);
}

static void test_scenarios(void **unused)
{
    (void)unused;
    mutate_all(MQA_SCENARIOS, ".scenario", try_scenario);
}

static int make_report(void **unused)
{
    (void)unused;
    report = malloc(sizeof *report);
    return report ? 0 : -1;
}

static int drop_report(void **unused)
{
    (void)unused;
    free(report);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_configs), cmocka_unit_test(test_scenarios)};
    return cmocka_run_group_tests(tests, make_report, drop_report);
}
