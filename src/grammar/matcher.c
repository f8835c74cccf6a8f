/* One generation: the public calls around the automaton.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "grammar/matcher.h"

#include <stdlib.h>
#include <string.h>

/* With the lock held. */
static void join(mqa_matcher *m, mqa_automaton *a)
{
    m->automaton = a;
    m->next = a->matchers;
    m->link = &a->matchers;
    if (m->next) m->next->link = &m->next;
    a->matchers = m;
}

mqa_status mqa_matcher_create(mqa_grammar *grammar, mqa_token_index *index, mqa_matcher **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: out is NULL");
    *out = NULL;
    if (!grammar || !index)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: grammar or token index is NULL");
    mqa_matcher *m = calloc(1, sizeof *m);
    if (!m) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "matcher: no memory");
    mqa_automaton *a;
    const mqa_status status = mqa_automaton_create(grammar, index, &a, err);
    if (status != MQA_OK) {
        free(m);
        return status;
    }
    join(m, a);
    m->states[0] = a->start;
    m->complete = mqa_automaton_accepts(a, a->start);
    *out = m;
    return MQA_OK;
}

mqa_status mqa_matcher_clone(const mqa_matcher *matcher, mqa_matcher **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: out is NULL");
    *out = NULL;
    if (!matcher) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: the one to clone is NULL");
    mqa_matcher *m = malloc(sizeof *m);
    if (!m) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "matcher: no memory");
    mqa_automaton *a = matcher->automaton;
    pthread_mutex_lock(&a->lock); /* states may be renumbered by others at any time */
    memcpy(m, matcher, sizeof *m);
    join(m, a);
    pthread_mutex_unlock(&a->lock);
    *out = m;
    return MQA_OK;
}

void mqa_matcher_destroy(mqa_matcher **matcher)
{
    if (!matcher || !*matcher) return;
    mqa_matcher *m = *matcher;
    mqa_automaton *a = m->automaton;
    *matcher = NULL;
    pthread_mutex_lock(&a->lock);
    *m->link = m->next;
    if (m->next) m->next->link = m->link;
    const bool last = !a->matchers;
    pthread_mutex_unlock(&a->lock);
    free(m);
    if (last) mqa_automaton_free(a);
}

size_t mqa_matcher_shared_bytes(const mqa_matcher *matcher)
{
    return atomic_load(&matcher->automaton->n_bytes);
}

/* Runs what again after making room where it failed for want of it. */
static mqa_status with_room(mqa_matcher *m, mqa_status (*what)(mqa_matcher *m, void *arg, mqa_error *err),
                            void *arg, mqa_error *err)
{
    mqa_automaton *a = m->automaton;
    pthread_mutex_lock(&a->lock);
    a->work = 0;
    a->full = false;
    mqa_status status = what(m, arg, err);
    if (status == MQA_ERR_BUDGET && a->full) {
        status = mqa_automaton_collect(a, err);
        a->work = 0;
        if (status == MQA_OK) status = what(m, arg, err);
    }
    mqa_automaton_weigh(a);
    pthread_mutex_unlock(&a->lock);
    return status;
}

static mqa_status copy_mask(mqa_matcher *m, void *arg, mqa_error *err)
{
    const uint64_t *mask;
    MQA_TRY(mqa_automaton_mask(m->automaton, *mqa_matcher_state(m, 0), &mask, err));
    memcpy(arg, mask, m->automaton->index->n_words * sizeof *mask);
    return MQA_OK;
}

mqa_status mqa_matcher_fill_mask(mqa_matcher *matcher, uint64_t *mask, mqa_error *err)
{
    if (!matcher || !mask) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: matcher or mask is NULL");
    if (matcher->ended) {
        memset(mask, 0, matcher->automaton->index->n_words * sizeof *mask);
        return MQA_OK;
    }
    return with_room(matcher, copy_mask, mask, err);
}

/* Stands in a new state, one token on. */
static void advance(mqa_matcher *m, uint32_t state)
{
    m->n_accepted++;
    if (m->n_kept < MQA_MATCHER_ROLLBACK) m->n_kept++;
    *mqa_matcher_state(m, 0) = state;
    m->complete = mqa_automaton_accepts(m->automaton, state);
}

typedef struct span {
    const uint8_t *bytes;
    size_t n;
} span;

static mqa_status walk(mqa_matcher *m, void *arg, mqa_error *err)
{
    const span *s = arg;
    uint32_t state = *mqa_matcher_state(m, 0);
    for (size_t i = 0; i < s->n; i++) {
        MQA_TRY(mqa_automaton_next(m->automaton, state, s->bytes[i], &state, err));
        if (state == MQA_STATE_DEAD)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                            "the grammar doesn't allow '%.*s' here (byte %zu of it)",
                            (int)(s->n < 64 ? s->n : 64), (const char *)s->bytes, i);
    }
    advance(m, state);
    return MQA_OK;
}

static mqa_status after_the_end(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "an end token was accepted: nothing can follow");
}

mqa_status mqa_matcher_accept(mqa_matcher *matcher, int32_t token, mqa_error *err)
{
    if (!matcher) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: NULL");
    const mqa_token_index *index = matcher->automaton->index;
    if (token < 0 || token >= index->n_tokens)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "token %d is not among the %d of the vocabulary",
                        token, index->n_tokens);
    if (matcher->ended) return after_the_end(err);
    if (index->ends[token / 64] >> (token % 64) & 1) {
        if (!matcher->complete)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the grammar doesn't allow an end here");
        pthread_mutex_lock(&matcher->automaton->lock);
        advance(matcher, *mqa_matcher_state(matcher, 0));
        pthread_mutex_unlock(&matcher->automaton->lock);
        matcher->ended = true;
        return MQA_OK;
    }
    span s = {index->bytes + index->offsets[token], index->offsets[token + 1] - index->offsets[token]};
    if (s.n == 0) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "token %d is never allowed", token);
    return with_room(matcher, walk, &s, err);
}

mqa_status mqa_matcher_accept_bytes(mqa_matcher *matcher, const char *bytes, size_t n_bytes, mqa_error *err)
{
    if (!matcher || (!bytes && n_bytes > 0))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: matcher or bytes is NULL");
    if (matcher->ended) return after_the_end(err);
    span s = {(const uint8_t *)bytes, n_bytes};
    return with_room(matcher, walk, &s, err);
}

bool mqa_matcher_is_complete(const mqa_matcher *matcher)
{
    return matcher->complete;
}

bool mqa_matcher_has_ended(const mqa_matcher *matcher)
{
    return matcher->ended;
}

mqa_status mqa_matcher_rollback(mqa_matcher *matcher, size_t n_tokens, mqa_error *err)
{
    if (!matcher) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "matcher: NULL");
    if (n_tokens > matcher->n_kept)
        return mqa_fail(
            err, MQA_ERR_INVALID_ARGUMENT,
            "rollback by %zu tokens: %zu were accepted, and the last %d at most can be taken back", n_tokens,
            matcher->n_accepted, MQA_MATCHER_ROLLBACK);
    if (n_tokens == 0) return MQA_OK;
    pthread_mutex_lock(&matcher->automaton->lock);
    matcher->n_accepted -= n_tokens;
    matcher->n_kept -= n_tokens;
    matcher->complete = mqa_automaton_accepts(matcher->automaton, *mqa_matcher_state(matcher, 0));
    matcher->ended = false;
    pthread_mutex_unlock(&matcher->automaton->lock);
    return MQA_OK;
}
