/* The real models, where they are at hand: perplexity and greedy text as llama.cpp has them, and the row
 * contract. Models: the folder MQA_MODELS, else models/ in the source.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "contract.h"
#include "real.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

static const char text_path[] = "/usr/share/common-licenses/GPL-3";

typedef struct real_model {
    const char *file, *goldens;
    double perplexity;  /* llama-perplexity -c 512 on the text, f16 cache (Zen 5) */
    double logit_error; /* two logits closer than this may come in either order */
} real_model;

/* logit_error: both programs round activations to 8 bits, in different blocks. On these prompts the widest
 * gap at which they parted was 0.36 (SmolLM2) and 0.54 (Gemma). */
static const real_model smollm2 = {"SmolLM2-135M-Instruct.Q4_1.gguf", "greedy_smollm2.txt", 18.391, 0.5};
static const real_model gemma3 = {"gemma-3-270m-q4_k_m.gguf", "greedy_gemma3.txt", 13.906, 0.75};

/* ---- perplexity ---- */

static double negative_log_likelihood(const float *logits, int n_vocab, int32_t token)
{
    float max = logits[0];
    for (int i = 1; i < n_vocab; i++) max = fmaxf(max, logits[i]);
    double sum = 0;
    for (int i = 0; i < n_vocab; i++) sum += exp((double)(logits[i] - max));
    return log(sum) - (double)(logits[token] - max);
}

/* llama-perplexity's convention: the second half of each window of 512 tokens is scored. */
static double perplexity(rig *r, const mqa_tokens *tokens)
{
    enum { WINDOW = 512, HALF = WINDOW / 2 };
    const mqa_tokenizer *tokenizer = mqa_model_tokenizer(r->model);
    const size_t n_vocab = (size_t)r->info.n_vocab;
    float *logits = malloc(HALF * n_vocab * sizeof *logits);
    double sum = 0;
    const size_t n_windows = tokens->n / WINDOW;
    for (size_t w = 0; w < n_windows; w++) {
        int32_t *t = tokens->ids + w * WINDOW;
        if (mqa_tokenizer_adds_bos(tokenizer)) t[0] = mqa_tokenizer_bos(tokenizer);
        OK(mqa_session_truncate(r->session, 0, 0, &err));
        const mqa_eval_item first = {0, t, HALF, MQA_LOGITS_NONE, NULL},
                            second = {0, t + HALF, HALF, MQA_LOGITS_ALL, logits};
        OK(mqa_session_eval(r->session, &first, 1, NULL, &err));
        OK(mqa_session_eval(r->session, &second, 1, NULL, &err));
        for (int i = 0; i < HALF - 1; i++)
            sum += negative_log_likelihood(logits + (size_t)i * n_vocab, (int)n_vocab, t[HALF + i + 1]);
    }
    free(logits);
    return exp(sum / (double)(n_windows * (HALF - 1)));
}

static void check_perplexity(const real_model *m, mqa_numerics numerics)
{
    const char *path = real_model_path(m->file);
    FILE *f = fopen(text_path, "rb");
    if (!f) skip();
    static char text[1 << 16];
    const size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    rig r = rig_open(path, (rig_options){.numerics = numerics, .k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    mqa_tokens tokens = {0};
    OK(mqa_tokenizer_encode(mqa_model_tokenizer(r.model), text, n, MQA_ENCODE_ADD_SPECIAL, &tokens, &err));
    const double p = perplexity(&r, &tokens);
    print_message("%s: perplexity %.4f, llama.cpp's is %.3f\n", m->file, p, m->perplexity);
    assert_true(fabs(p / m->perplexity - 1) < 0.005);
    mqa_tokens_free(&tokens);
    rig_close(&r);
}

static void perplexity_smollm2(void **state)
{
    (void)state;
    check_perplexity(&smollm2, MQA_NUMERICS_FAST);
}
static void perplexity_smollm2_portable(void **state)
{
    (void)state;
    check_perplexity(&smollm2, MQA_NUMERICS_PORTABLE);
}
static void perplexity_gemma3(void **state)
{
    (void)state;
    check_perplexity(&gemma3, MQA_NUMERICS_FAST);
}

/* ---- greedy text ---- */

/* The numbers of the next line after its name; -1 at the end of the file. */
static int read_line(FILE *f, const char *name, double numbers[], int max)
{
    char line[4096], *at = line, *end;
    if (!fgets(line, sizeof line, f)) return -1;
    assert_int_equal(strncmp(line, name, strlen(name)), 0);
    at += strlen(name);
    int n = 0;
    for (double x; n < max && (x = strtod(at, &end), end != at); at = end) numbers[n++] = x;
    return n;
}

typedef struct agreement {
    int tokens, parted;
    double widest; /* gap at which they parted, in our logits or in llama.cpp's */
} agreement;

/* Feeds what llama.cpp wrote and asks at each token what we would have written. */
static void compare_continuation(rig *r, const double *prompt, int n_prompt, const double *ids,
                                 const double *gaps, int n_ids, agreement *a)
{
    int32_t tokens[256];
    for (int i = 0; i < n_prompt; i++) tokens[i] = (int32_t)prompt[i];
    for (int i = 0; i < n_ids; i++) tokens[n_prompt + i] = (int32_t)ids[i];
    float *logits = rig_logits(r, tokens, n_prompt + n_ids - 1);
    for (int i = 0; i < n_ids; i++) {
        const float *row = logits + (size_t)(n_prompt - 1 + i) * (size_t)r->info.n_vocab;
        int32_t best;
        OK(mqa_sample(&(mqa_sampling){.top_p = 1}, row, r->info.n_vocab, 0, NULL, &best, &err));
        a->tokens++;
        const int32_t theirs = tokens[n_prompt + i];
        if (best == theirs) continue;
        a->parted++;
        a->widest = fmax(a->widest, fmax(gaps[i], (double)(row[best] - row[theirs])));
    }
    free(logits);
}

static void check_greedy(const real_model *m)
{
    const char *path = real_model_path(m->file);
    char goldens[512];
    snprintf(goldens, sizeof goldens, "%s/%s", MQA_TEST_DATA, m->goldens);
    FILE *f = fopen(goldens, "r");
    assert_non_null(f);
    rig r = rig_open(path, (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    agreement a = {0};
    double prompt[128], ids[128], gaps[128];
    int n_prompts = 0, n_prompt;
    for (; (n_prompt = read_line(f, "prompt", prompt, 128)) >= 0; n_prompts++) {
        const int n_ids = read_line(f, "ids", ids, 128);
        assert_int_equal(read_line(f, "gaps", gaps, 128), n_ids);
        compare_continuation(&r, prompt, n_prompt, ids, gaps, n_ids, &a);
    }
    fclose(f);
    print_message("%s: %d prompts, %d tokens, %d differ, the widest gap there %.3f\n", m->file, n_prompts,
                  a.tokens, a.parted, a.widest);
    assert_true(n_prompts >= 20);
    assert_true(a.widest < m->logit_error);
    assert_true(a.parted * 20 < a.tokens);
    rig_close(&r);
}

static void greedy_smollm2(void **state)
{
    (void)state;
    check_greedy(&smollm2);
}
static void greedy_gemma3(void **state)
{
    (void)state;
    check_greedy(&gemma3);
}

static void row_contract_smollm2(void **state)
{
    (void)state;
    assert_row_contract(real_model_path(smollm2.file),
                        (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, 70);
}
static void row_contract_gemma3(void **state)
{
    (void)state;
    assert_row_contract(real_model_path(gemma3.file),
                        (rig_options){.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_smollm2),      cmocka_unit_test(greedy_gemma3),
        cmocka_unit_test(perplexity_smollm2),  cmocka_unit_test(perplexity_smollm2_portable),
        cmocka_unit_test(perplexity_gemma3),   cmocka_unit_test(row_contract_smollm2),
        cmocka_unit_test(row_contract_gemma3),
    };
    return cmocka_run_group_tests_name("real models", tests, NULL, NULL);
}
