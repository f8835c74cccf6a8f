/* Images of sequences: what is read back goes on with the bits of what was written, in every cache format;
 * sizes are exact; nothing but the image itself is taken for it, and nothing stays of what isn't.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "rig.h"
#include "scratch_model.h"

#include "base/checksum.h"
#include "model/session.h"

enum { LONGEST = 700, MORE = 70, FIXED = 3 };

static const unsigned char tag[MQA_IMAGE_TAG] = "what it is of", other_tag[MQA_IMAGE_TAG] = "what it is not";

/* ---- bytes in memory ---- */

typedef struct image {
    unsigned char *bytes;
    size_t n, room;
    size_t read; /* bytes that were asked for */
} image;

static mqa_status write_image(void *user, const void *bytes, size_t n, mqa_error *err)
{
    (void)err;
    image *m = user;
    if (n > m->room - m->n) return MQA_ERR_CANCELLED; /* whatever the sink says */
    memcpy(m->bytes + m->n, bytes, n);
    m->n += n;
    return MQA_OK;
}

static mqa_status read_image(void *user, size_t offset, void *bytes, size_t n, mqa_error *err)
{
    (void)err;
    image *m = user;
    if (offset > m->n || n > m->n - offset) return MQA_ERR_IO;
    memcpy(bytes, m->bytes + offset, n);
    m->read += n;
    return MQA_OK;
}

static image image_of(const mqa_session *s, int sequence)
{
    image m = {.room = mqa_session_image_bytes(s, mqa_session_length(s, sequence))};
    m.bytes = malloc(m.room);
    const mqa_image_sink sink = {write_image, &m};
    OK(mqa_session_image_write(s, sequence, tag, &sink, &err));
    assert_int_equal(m.n, m.room);
    return m;
}

static mqa_status read_into(mqa_session *s, int sequence, image *m, int from, int64_t n_shared,
                            mqa_error *err)
{
    const mqa_image_source source = {read_image, m};
    m->read = 0;
    return mqa_session_image_read(s, sequence, tag, &source, from, n_shared, err);
}

/* ---- texts ---- */

static void eval(rig *r, int sequence, const int32_t *tokens, int64_t n, float *logits)
{
    const mqa_eval_item item = {sequence, tokens, n, logits ? MQA_LOGITS_ALL : MQA_LOGITS_NONE, logits};
    OK(mqa_session_eval(r->session, &item, 1, NULL, &err));
}

/* The logits of MORE tokens behind sequences a and b are the same. */
static void assert_go_on_alike(rig *r, int a, int b, const int32_t *tokens)
{
    const size_t n = (size_t)MORE * (size_t)r->info.n_vocab;
    float *of_a = malloc(n * sizeof *of_a), *of_b = malloc(n * sizeof *of_b);
    eval(r, a, tokens, MORE, of_a);
    eval(r, b, tokens, MORE, of_b);
    assert_memory_equal(of_a, of_b, n * sizeof *of_a);
    free(of_a);
    free(of_b);
}

typedef struct form {
    const synthetic *model;
    mqa_kv_type k, v;
} form;

static const form forms[] = {
    {&small_gemma3, MQA_KV_BF16, MQA_KV_BF16},    {&small_llama, MQA_KV_BF16, MQA_KV_BF16},
    {&small_deepseek2, MQA_KV_BF16, MQA_KV_BF16}, {&small_gemma3, MQA_KV_INT8, MQA_KV_INT4},
    {&small_llama, MQA_KV_F32, MQA_KV_FP8_E4M3},  {&small_gemma3, MQA_KV_F16, MQA_KV_F32}};
enum { FORMS = sizeof forms / sizeof forms[0] };

static rig open_form(const form *f)
{
    synthetic_write(f->model, path);
    return rig_open(path, (rig_options){.sequences = FIXED, .k_type = f->k, .v_type = f->v});
}

static void what_was_read_goes_on_as_what_was_written(void **state)
{
    (void)state;
    static const int64_t lengths[] = {1, 63, 64, 65, 100, 128, 163, 164, 165, 400, 640};
    for (int f = 0; f < FORMS; f++) {
        rig r = open_form(&forms[f]);
        int32_t *tokens = random_tokens(LONGEST + MORE, r.info.n_vocab, 5);
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            eval(&r, 0, tokens, lengths[i], NULL);
            image m = image_of(r.session, 0);
            assert_int_equal(read_into(r.session, 1, &m, -1, 0, NULL), MQA_OK);
            assert_int_equal(m.read, m.n);
            assert_int_equal(mqa_session_length(r.session, 1), lengths[i]);
            mqa_session_evict(r.session, 0);
            assert_int_equal(mqa_session_bytes(r.session, 1), mqa_session_bytes(r.session, 0));
            /* And it is written as it was. */
            image again = image_of(r.session, 1);
            assert_int_equal(again.n, m.n);
            if (lengths[i] % 64 == 0) assert_memory_equal(again.bytes, m.bytes, m.n);
            assert_go_on_alike(&r, 0, 1, tokens + LONGEST);
            for (int k = 0; k < 2; k++) OK(mqa_session_truncate(r.session, k, 0, &err));
            assert_int_equal(mqa_session_kv_bytes(r.session), 0);
            free(again.bytes);
            free(m.bytes);
        }
        free(tokens);
        rig_close(&r);
    }
}

/* Truncated inside a page that another one has: what lies behind its end there isn't its own. */
static void what_others_have_behind_its_end_is_not_read(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        rig r = open_form(&forms[f]);
        int32_t *tokens = random_tokens(LONGEST + MORE, r.info.n_vocab, 6);
        eval(&r, 0, tokens, 128, NULL);
        OK(mqa_session_fork(r.session, 0, 128, 1, &err));
        OK(mqa_session_truncate(r.session, 1, 100, &err));
        image m = image_of(r.session, 1);
        assert_int_equal(read_into(r.session, 2, &m, -1, 0, NULL), MQA_OK);
        OK(mqa_session_truncate(r.session, 0, 0, &err));
        eval(&r, 0, tokens, 100, NULL);
        /* Zeros are there, as behind the end of one that never was longer. */
        image read = image_of(r.session, 2), fresh = image_of(r.session, 0);
        assert_memory_equal(read.bytes, fresh.bytes, read.n);
        free(read.bytes);
        free(fresh.bytes);
        assert_go_on_alike(&r, 0, 2, tokens + LONGEST);
        free(m.bytes);
        free(tokens);
        rig_close(&r);
    }
}

static void a_beginning_that_is_there_is_shared(void **state)
{
    (void)state;
    enum { COMMON = 300, LENGTH = 500 };
    for (int f = 0; f < FORMS; f++) {
        rig r = open_form(&forms[f]);
        int32_t *tokens = random_tokens(LONGEST + MORE, r.info.n_vocab, 7);
        eval(&r, 0, tokens, LENGTH, NULL);
        image m = image_of(r.session, 0);
        eval(&r, 1, tokens, COMMON, NULL); /* computed by itself: the same bits */
        assert_int_equal(read_into(r.session, 2, &m, 1, COMMON, NULL), MQA_OK);
        const size_t shared = mqa_session_most_bytes(r.session, 0, COMMON / 64 * 64, 1).bytes;
        assert_int_equal(mqa_session_bytes(r.session, 2) - mqa_session_unique_bytes(r.session, 2), shared);
        assert_true(shared > 0 && m.read < m.n - shared);
        assert_go_on_alike(&r, 0, 2, tokens + LONGEST);
        OK(mqa_session_truncate(r.session, 2, 0, &err));
        eval(&r, 1, tokens + COMMON, 1, NULL); /* the other one goes on, too */
        free(m.bytes);
        free(tokens);
        rig_close(&r);
    }
}

/* ---- what isn't one ---- */

static void assert_refused(rig *r, image *m, mqa_status expected)
{
    mqa_error e = {0};
    const size_t before = mqa_session_kv_bytes(r->session);
    const mqa_status status = read_into(r->session, 1, m, -1, 0, &e);
    assert_int_equal(status, expected);
    assert_int_equal(mqa_session_length(r->session, 1), 0);
    assert_int_equal(mqa_session_kv_bytes(r->session), before);
}

static void damage_is_found(void **state)
{
    (void)state;
    uint32_t random = 3;
    for (int f = 0; f < FORMS; f++) {
        rig r = open_form(&forms[f]);
        int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 8);
        eval(&r, 0, tokens, 150, NULL);
        image m = image_of(r.session, 0);
        const size_t n = m.n;
        /* Cut short anywhere. */
        for (m.n = 0; m.n < n; m.n += m.n < 400 ? 1 : 1 + synthetic_random(&random) % 5000)
            assert_refused(&r, &m, MQA_ERR_IO);
        m.n = n;
        /* One bit, anywhere: every one of the header's bytes, and some of the pages'. */
        for (size_t at = 0; at < n; at += at < 400 ? 1 : 1 + synthetic_random(&random) % 5000) {
            m.bytes[at] ^= (unsigned char)(1 << synthetic_random(&random) % 8);
            assert_refused(&r, &m, MQA_ERR_FORMAT);
            m.bytes[at] = 0, m.n = 0; /* written anew */
            const mqa_image_sink sink = {write_image, &m};
            OK(mqa_session_image_write(r.session, 0, tag, &sink, &err));
        }
        assert_int_equal(read_into(r.session, 1, &m, -1, 0, NULL), MQA_OK);
        free(m.bytes);
        free(tokens);
        rig_close(&r);
    }
}

/* Who can make checksums can say any length. */
static void a_made_up_length_is_refused(void **state)
{
    (void)state;
    static const int64_t lengths[] = {INT64_MIN, -1, 0, 1, 149, 151, 2048, 2049, INT64_MAX};
    rig r = open_form(&forms[1]);
    int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 8);
    eval(&r, 0, tokens, 150, NULL);
    image m = image_of(r.session, 0);
    const size_t header = m.n - 3 * (mqa_session_bytes(r.session, 0) / 3 + 8), sum_at = header - 8;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(m.bytes + 16, &lengths[i], 8);
        const uint64_t sum = mqa_checksum(0, m.bytes, sum_at);
        memcpy(m.bytes + sum_at, &sum, 8);
        assert_refused(&r, &m, MQA_ERR_FORMAT);
    }
    const int64_t right = 150; /* it was only that */
    memcpy(m.bytes + 16, &right, 8);
    const uint64_t sum = mqa_checksum(0, m.bytes, sum_at);
    memcpy(m.bytes + sum_at, &sum, 8);
    assert_int_equal(read_into(r.session, 1, &m, -1, 0, NULL), MQA_OK);
    free(m.bytes);
    free(tokens);
    rig_close(&r);
}

/* The first page in place of the second, each whole by itself. */
static void pages_stay_in_their_places(void **state)
{
    (void)state;
    rig r = open_form(&forms[1]);
    int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 8);
    eval(&r, 0, tokens, 128, NULL);
    image m = image_of(r.session, 0);
    const size_t page = mqa_session_bytes(r.session, 0) / 2 + 8, header = m.n - 2 * page;
    memcpy(m.bytes + header + page, m.bytes + header, page);
    assert_refused(&r, &m, MQA_ERR_FORMAT);
    free(m.bytes);
    free(tokens);
    rig_close(&r);
}

/* An image of one session in another one that differs in one thing. */
static void an_image_of_another_session_is_refused(void **state)
{
    (void)state;
    rig r = open_form(&forms[0]);
    int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 8);
    eval(&r, 0, tokens, 200, NULL);
    image m = image_of(r.session, 0);
    char recipe[64];
    strcpy(recipe, mqa_session_recipe(r.session));
    rig_close(&r);
    synthetic more_layers = small_gemma3, narrower = small_gemma3;
    more_layers.n_layers = 8;
    narrower.window = 90;
    const struct {
        const synthetic *model;
        rig_options options;
        mqa_status expected;
    } cases[] = {
        {&small_gemma3, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, MQA_OK},
        {&small_gemma3, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16, .chunk = 64, .threads = 1}, MQA_OK},
        {&small_gemma3, {.k_type = MQA_KV_F16, .v_type = MQA_KV_BF16}, MQA_ERR_FORMAT},
        {&small_gemma3, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_F32}, MQA_ERR_FORMAT},
        {&small_gemma3, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16, .context = 199}, MQA_ERR_FORMAT},
        {&small_gemma3,
         {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16, .numerics = MQA_NUMERICS_PORTABLE},
         MQA_OK},
        {&small_llama, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, MQA_ERR_FORMAT},
        {&narrower, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, MQA_ERR_FORMAT},
        {&more_layers, {.k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16}, MQA_ERR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        synthetic_write(cases[i].model, path);
        rig_options o = cases[i].options;
        o.sequences = 2;
        r = rig_open(path, o);
        const bool same_recipe =
            strcmp(mqa_session_recipe(r.session), recipe) == 0; /* of portable, it may be */
        assert_int_equal(read_into(r.session, 1, &m, -1, 0, NULL),
                         same_recipe ? cases[i].expected : MQA_ERR_FORMAT);
        rig_close(&r);
    }
    /* And one of the same session under another name. */
    synthetic_write(&small_gemma3, path);
    r = rig_open(path, (rig_options){.sequences = 2, .k_type = MQA_KV_BF16, .v_type = MQA_KV_BF16});
    const mqa_image_source source = {read_image, &m};
    assert_int_equal(mqa_session_image_read(r.session, 1, other_tag, &source, -1, 0, NULL), MQA_ERR_FORMAT);
    rig_close(&r);
    free(m.bytes);
    free(tokens);
}

/* ---- calls ---- */

static void calls_are_checked(void **state)
{
    (void)state;
    rig r = open_form(&forms[0]);
    int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 9);
    image m = {.bytes = malloc(1 << 22), .room = 1 << 22};
    const mqa_image_sink sink = {write_image, &m};
    assert_int_equal(mqa_session_image_write(r.session, 0, tag, &sink, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_session_image_write(r.session, 7, tag, &sink, NULL), MQA_ERR_INVALID_ARGUMENT);
    eval(&r, 0, tokens, 200, NULL);
    OK(mqa_session_image_write(r.session, 0, tag, &sink, &err));
    assert_int_equal(read_into(r.session, 0, &m, -1, 0, NULL), MQA_ERR_INVALID_ARGUMENT); /* not empty */
    assert_int_equal(mqa_session_length(r.session, 0), 200);
    assert_int_equal(read_into(r.session, 9, &m, -1, 0, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(read_into(r.session, 1, &m, 0, 201, NULL), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(read_into(r.session, 1, &m, -1, 1, NULL), MQA_ERR_INVALID_ARGUMENT);
    eval(&r, 0, tokens, 100, NULL);
    assert_int_equal(read_into(r.session, 1, &m, 0, 300, NULL),
                     MQA_ERR_INVALID_ARGUMENT); /* the image has 200 */
    assert_int_equal(mqa_session_image_bytes(r.session, 0), 0);
    assert_int_equal(mqa_session_image_bytes(r.session, 2049), 0);
    assert_true(mqa_session_image_bytes(r.session, 2048) > 0);
    /* What the sink says is the result, wherever it says it. */
    const size_t whole = mqa_session_image_bytes(r.session, 300);
    for (image part = {.bytes = m.bytes}; part.room < whole; part.room += 3001, part.n = 0) {
        const mqa_image_sink short_sink = {write_image, &part};
        assert_int_equal(mqa_session_image_write(r.session, 0, tag, &short_sink, NULL), MQA_ERR_CANCELLED);
    }
    free(m.bytes);
    free(tokens);
    rig_close(&r);
}

/* All of it, or what is in use stays as it was; where it fits to the byte, it is read. */
static void budgets_are_kept(void **state)
{
    (void)state;
    for (int f = 0; f < FORMS; f++) {
        rig r = open_form(&forms[f]);
        int32_t *tokens = random_tokens(LONGEST, r.info.n_vocab, 9);
        eval(&r, 0, tokens, 300, NULL);
        image m = image_of(r.session, 0);
        mqa_session_evict(r.session, 0);
        const size_t in_use = mqa_session_kv_bytes(r.session);
        for (size_t less = 0; less < in_use; less += less ? in_use / 9 : 1) {
            mqa_account *account = NULL;
            OK(mqa_account_create(r.ctx, mqa_session_account(r.session), in_use - less, &account, &err));
            OK(mqa_session_set_account(r.session, 1, account, &err));
            if (less) {
                assert_refused(&r, &m, MQA_ERR_BUDGET);
            } else {
                assert_int_equal(read_into(r.session, 1, &m, -1, 0, NULL), MQA_OK);
                mqa_account_usage u = {.struct_size = sizeof u};
                OK(mqa_account_get_usage(account, &u, &err));
                assert_int_equal(u.in_use, in_use);
                OK(mqa_session_truncate(r.session, 1, 0, &err));
            }
            OK(mqa_session_set_account(r.session, 1, mqa_session_account(r.session), &err));
            mqa_account_destroy(&account);
        }
        free(m.bytes);
        free(tokens);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_read_goes_on_as_what_was_written),
                                       cmocka_unit_test(what_others_have_behind_its_end_is_not_read),
                                       cmocka_unit_test(a_beginning_that_is_there_is_shared),
                                       cmocka_unit_test(damage_is_found),
                                       cmocka_unit_test(a_made_up_length_is_refused),
                                       cmocka_unit_test(pages_stay_in_their_places),
                                       cmocka_unit_test(an_image_of_another_session_is_refused),
                                       cmocka_unit_test(calls_are_checked),
                                       cmocka_unit_test(budgets_are_kept)};
    return cmocka_run_group_tests_name("image", tests, setup, teardown);
}
