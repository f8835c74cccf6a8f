/* The tiny model that the repository carries, against PyTorch in float64 (scripts/train_tiny.py logits).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "contract.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

static const char *const tiny = MQA_TEST_TINY;

static void skip_without_model(void)
{
    if (access(tiny, R_OK) != 0) {
        print_message("%s isn't there\n", tiny);
        skip();
    }
}

static int32_t *tokens_of(const json_t *array, int *n)
{
    *n = (int)json_array_size(array);
    int32_t *tokens = malloc(((size_t)*n + 1) * sizeof *tokens);
    for (int i = 0; i < *n; i++) tokens[i] = (int32_t)json_integer_value(json_array_get(array, (size_t)i));
    return tokens;
}

static void check_logits(rig *r, const json_t *c, double tolerance)
{
    int n;
    int32_t *tokens = tokens_of(json_object_get(c, "tokens"), &n);
    const json_t *golden = json_object_get(c, "logits");
    assert_int_equal(json_array_size(golden), r->info.n_vocab);
    float *logits = rig_logits(r, tokens, n), *last = logits + (size_t)(n - 1) * (size_t)r->info.n_vocab;
    double worst = 0;
    for (int i = 0; i < r->info.n_vocab; i++)
        worst = fmax(worst, fabs((double)last[i] - json_number_value(json_array_get(golden, (size_t)i))));
    print_message("%4d tokens: worst difference %.2e\n", n, worst);
    assert_true(worst <= tolerance);
    free(tokens);
    free(logits);
}

static void check_text(rig *r, const json_t *c)
{
    const char *text = json_string_value(json_object_get(c, "text"));
    if (!text) return;
    int n;
    int32_t *tokens = tokens_of(json_object_get(c, "tokens"), &n);
    mqa_tokens mine = {0};
    OK(mqa_tokenizer_encode(mqa_model_tokenizer(r->model), text, strlen(text), MQA_ENCODE_ADD_SPECIAL, &mine,
                            &err));
    assert_int_equal(mine.n, n);
    assert_memory_equal(mine.ids, tokens, (size_t)n * sizeof *tokens);
    mqa_tokens_free(&mine);
    free(tokens);
}

/* Token by token, as generation goes. */
static void check_greedy(rig *r, const json_t *c)
{
    const json_t *golden = json_object_get(c, "greedy");
    if (!golden) return;
    int n, n_more;
    int32_t *tokens = tokens_of(json_object_get(c, "tokens"), &n), *more = tokens_of(golden, &n_more);
    float *logits = malloc((size_t)r->info.n_vocab * sizeof *logits);
    OK(mqa_session_truncate(r->session, 0, 0, &err));
    mqa_eval_item item = {0, tokens, n, MQA_LOGITS_LAST, logits};
    for (int i = 0; i < n_more; i++) {
        OK(mqa_session_eval(r->session, &item, 1, NULL, &err));
        int32_t token;
        OK(mqa_sample(&(mqa_sampling){.top_p = 1}, logits, r->info.n_vocab, n + i, NULL, &token, &err));
        assert_int_equal(token, more[i]);
        item.tokens = &more[i];
        item.n_tokens = 1;
    }
    free(tokens);
    free(more);
    free(logits);
}

static void equals_pytorch(void **state)
{
    (void)state;
    skip_without_model();
    json_error_t error;
    json_t *root = json_load_file(MQA_TEST_DATA "/tiny_logits.json", 0, &error);
    assert_non_null(root);
    rig r = rig_open(tiny, (rig_options){.k_type = MQA_KV_F32, .v_type = MQA_KV_F32});
    const json_t *cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        check_text(&r, c);
        check_logits(&r, c, 1e-4);
        check_greedy(&r, c);
    }
    rig_close(&r);
    json_decref(root);
}

static void row_contract(void **state)
{
    (void)state;
    skip_without_model();
    assert_row_contract(tiny, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, 1100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_pytorch), cmocka_unit_test(row_contract)};
    return cmocka_run_group_tests_name("tiny model", tests, NULL, NULL);
}
