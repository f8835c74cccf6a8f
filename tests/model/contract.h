/* The row contract, as an assertion about any model file: the logits of a token depend on its sequence's
 * tokens and on nothing else, bit for bit.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef TESTS_MODEL_CONTRACT_H
#define TESTS_MODEL_CONTRACT_H

#include "rig.h"

/* tokens in pieces that have nothing to do with chunks, beside others that come and go. */
static inline void contract_in_company(rig *r, const int32_t *tokens, int n, const float *expected)
{
    const size_t n_vocab = (size_t)r->info.n_vocab;
    int32_t *other = random_tokens(n, r->info.n_vocab, 99);
    float *logits = malloc((size_t)n * n_vocab * sizeof *logits), *last = malloc(n_vocab * sizeof *last);
    for (int s = 0; s < 3; s++) OK(mqa_session_truncate(r->session, s, 0, &err));
    for (int done = 0, piece = 1; done < n; done += piece, piece = piece * 3 + 1) {
        if (piece > n - done) piece = n - done;
        /* The others are in the batch now and then, before and after, and start anew: pages are recycled. */
        if (done % 2) OK(mqa_session_truncate(r->session, 0, 0, &err));
        const mqa_eval_item items[] = {
            {0, other, piece / 2 + 1, MQA_LOGITS_NONE, NULL},
            {1, tokens + done, piece, MQA_LOGITS_ALL, logits + (size_t)done * n_vocab},
            {2, other + piece - 1, 1, MQA_LOGITS_LAST, last}};
        OK(mqa_session_eval(r->session, items + (done % 3 == 0), 3 - (done % 3 == 0), NULL, &err));
    }
    assert_memory_equal(logits, expected, (size_t)n * n_vocab * sizeof *logits);
    free(other);
    free(logits);
    free(last);
}

static inline void assert_row_contract(const char *path, rig_options base, int n)
{
    static const int threads[] = {1, 2, 3, 8}, chunks[] = {1, 7, 64, 512};
    base.sequences = 3;
    base.threads = 2;
    rig r = rig_open(path, base);
    const size_t bytes = (size_t)n * (size_t)r.info.n_vocab * sizeof(float);
    int32_t *tokens = random_tokens(n, r.info.n_vocab, 5);
    float *expected = rig_logits(&r, tokens, n);
    contract_in_company(&r, tokens, n, expected);
    rig_close(&r);
    for (int i = 0; i < 4; i++) {
        base.threads = threads[i];
        base.chunk = chunks[3 - i];
        r = rig_open(path, base);
        for (int again = 0; again < 2; again++) {
            float *logits = rig_logits(&r, tokens, n);
            assert_memory_equal(logits, expected, bytes);
            free(logits);
        }
        contract_in_company(&r, tokens, n, expected);
        rig_close(&r);
    }
    free(tokens);
    free(expected);
}

#endif
