/* Preempted choices on disk: read back they go on with the same bits; the limit is kept to the byte; whatever
 * happens to a file, or doesn't fit, is computed; and nothing of it stays, whoever ends the request.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "engine_rig.h"

#include "../model/synthetic.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "engine/state.h"

static char path[64], folder[64];

static int setup(void **state)
{
    (void)state;
    strcpy(path, "/tmp/mqa-spill-XXXXXX");
    strcpy(folder, "/tmp/mqa-spill-dir-XXXXXX");
    const int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd >= 0 && mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder) | unlink(path); /* nothing is in it */
}

static double no_time(void *user)
{
    (void)user;
    return 0;
}

static const synthetic *const models[] = {&small_gemma3, &small_llama};
enum { N = 6, PROMPT = 150, TOKENS = 2000 };
static const int64_t answers[] = {700, 200}; /* rings don't grow: it takes more */

typedef struct served {
    rig r;
    mqa_engine *engine;
    int32_t *tokens;
    int64_t answer;
    size_t image; /* bytes, of one of its longest */
    mqa_request requests[N];
    reply *replies[N];
} served;

/* Room for three of the requests in the beginning. With a clock that stands still everything is worth it. */
static served serve(int which, size_t limit)
{
    served s = {.answer = answers[which]};
    synthetic_write(models[which], path);
    s.r = rig_open(path, (rig_options){0});
    mqa_engine_options o = mqa_engine_options_default();
    OK(mqa_engine_create(s.r.model, &o, &s.engine, &err));
    o.kv_budget_bytes = 3 * mqa_engine_request_bytes(s.engine, PROMPT, 64, 1);
    mqa_engine_destroy(&s.engine);
    o.admission = MQA_ADMISSION_OVERCOMMIT;
    o.spill_dir = folder;
    o.spill_limit = limit;
    o.now = no_time;
    OK(mqa_engine_create(s.r.model, &o, &s.engine, &err));
    s.tokens = random_tokens(TOKENS, s.r.info.n_vocab, 11);
    s.image = mqa_session_image_bytes(s.engine->session, PROMPT + s.answer - 1);
    return s;
}

static void ask(served *s)
{
    for (int i = 0; i < N; i++) {
        s->requests[i] = mqa_request_default();
        s->requests[i].prompt = s->tokens + 7 * i;
        s->requests[i].n_prompt = PROMPT;
        s->requests[i].max_tokens = s->answer;
        s->requests[i].ignore_end = true;
        s->requests[i].sampling.seed = (uint64_t)i;
        s->replies[i] = submit(s->engine, &s->requests[i]);
    }
}

static bool step_once(served *s)
{
    bool over = true;
    step(s->engine);
    assert_budgets_kept(s->engine, MQA_ADMISSION_OVERCOMMIT);
    const mqa_engine_stats stats = stats_of(s->engine);
    assert_true(stats.bytes_spilled <= s->engine->spill.limit);
    assert_int_equal(tenant_stats_of(s->engine, 0).bytes_spilled, stats.bytes_spilled);
    for (int i = 0; i < N; i++) {
        take_events(s->engine, s->replies[i]);
        over &= s->replies[i]->over;
    }
    return !over;
}

static mqa_choice *spilled_choice(const served *s)
{
    for (mqa_job *job = s->engine->running.first; job; job = job->next)
        for (int i = 0; i < job->n_choices; i++)
            if (job->choices[i].spilled) return &job->choices[i];
    return NULL;
}

static void run_until_spilled(served *s)
{
    while (!spilled_choice(s)) assert_true(step_once(s));
}

/* All answers are those of the requests alone, and nothing is on disk any more. */
static mqa_engine_stats finish(served *s)
{
    while (step_once(s)) continue;
    const mqa_engine_stats stats = stats_of(s->engine);
    assert_int_equal(stats.bytes_spilled, 0);
    for (int i = 0; i < N; i++) {
        reply *expected = alone(s->r.model, &s->requests[i]);
        if (s->replies[i]->finish == MQA_FINISH_LENGTH)
            assert_same(s->replies[i], expected);
        else
            assert_begins(s->replies[i], expected);
        free(expected);
        free(s->replies[i]);
    }
    free(s->tokens);
    mqa_engine_destroy(&s->engine);
    rig_close(&s->r);
    return stats;
}

static int files_in_folder(void)
{
    int n = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* ---- what it is for ---- */

static void what_was_computed_is_not_computed_again(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        served s = serve(m, 0);
        ask(&s);
        run_until_spilled(&s);
        assert_int_equal(files_in_folder(), 0); /* it has no name */
        const mqa_engine_stats stats = finish(&s);
        assert_true(stats.spilled > 0);
        assert_int_equal(stats.spilled, stats.preempted);
        assert_int_equal(stats.restored, stats.spilled);
        assert_int_equal(stats.spill_errors, 0);
        assert_int_equal(stats.prompt_rows, N * PROMPT);
    }
}

/* The image's own bytes, on disk and in the statistics. */
static void sizes_are_exact(void **state)
{
    (void)state;
    served s = serve(0, 0);
    ask(&s);
    run_until_spilled(&s);
    size_t sum = 0;
    for (const mqa_job *job = s.engine->running.first; job; job = job->next) {
        const mqa_spilled *spilled = job->choices[0].spilled;
        if (!spilled) continue;
        struct stat st;
        assert_int_equal(fstat(*(const int *)spilled, &st), 0); /* fd: its first member */
        assert_int_equal(st.st_nlink, 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        sum += (size_t)st.st_size;
        assert_int_equal(st.st_size, mqa_session_image_bytes(s.engine->session, job->choices[0].n_text - 1));
    }
    assert_int_equal(sum, stats_of(s.engine).bytes_spilled);
    finish(&s);
}

static void the_limit_is_kept(void **state)
{
    (void)state;
    static const double share[] = {0.0001, 0.5, 1, 1.5}; /* of one image */
    for (size_t i = 0; i < sizeof share / sizeof share[0]; i++) {
        served s = serve(1, 1);
        s.engine->spill.limit = (size_t)(share[i] * (double)s.image);
        ask(&s);
        const mqa_engine_stats stats = finish(&s);
        assert_true(stats.preempted > 0 && stats.spilled <= stats.preempted);
        assert_true(i > 1 ? stats.spilled > 0 : i > 0 || stats.spilled == 0);
        assert_int_equal(stats.restored, stats.spilled);
    }
}

/* ---- what goes wrong ---- */

static void damage(int fd, off_t at)
{
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void what_a_disk_lost_is_computed(void **state)
{
    (void)state;
    for (int how = 0; how < 4; how++) {
        served s = serve(how % 2, 0);
        ask(&s);
        run_until_spilled(&s);
        const int fd = *(const int *)spilled_choice(&s)->spilled;
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        if (how == 0) damage(fd, 20);
        if (how == 1) damage(fd, st.st_size - 1000);
        if (how == 2) assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
        if (how == 3) assert_int_equal(ftruncate(fd, 0), 0);
        const mqa_engine_stats stats = finish(&s);
        assert_int_equal(stats.spill_errors, 1);
        assert_int_equal(stats.restored, stats.spilled - 1);
        assert_int_equal(stats.failed, 0);
    }
}

/* As on a full disk: files can't grow beyond some bytes. */
static void what_a_disk_refuses_is_computed(void **state)
{
    (void)state;
    served s = serve(1, 0);
    ask(&s);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = s.image / 3;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const mqa_engine_stats stats = finish(&s);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(stats.preempted > 0);
    assert_int_equal(stats.spill_errors, stats.preempted);
    assert_true(stats.spilled == 0 && stats.failed == 0);
}

/* ---- what isn't worth it ---- */

static void what_costs_more_than_computing_is_computed(void **state)
{
    (void)state;
    /* Slow to write; then slow to read only, so that what was written isn't used. */
    for (int slow_to_read = 0; slow_to_read < 2; slow_to_read++) {
        served s = serve(1, 0);
        ask(&s);
        mqa_spill *spill = &s.engine->spill;
        if (slow_to_read) run_until_spilled(&s);
        s.engine->row_seconds = 1e-6;
        *(slow_to_read ? &spill->read_seconds : &spill->write_seconds) = 1;
        const mqa_engine_stats before = stats_of(s.engine), stats = finish(&s);
        assert_true(stats.preempted > 0 && before.spilled == (slow_to_read ? 1 : 0));
        assert_int_equal(stats.spilled, before.spilled);
        assert_int_equal(stats.restored, 0);
        assert_int_equal(stats.spill_errors, 0);
    }
}

/* ---- who ends it ---- */

static void a_request_that_ends_takes_its_file_along(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        served s = serve(1, 0);
        ask(&s);
        run_until_spilled(&s);
        mqa_choice *choice = spilled_choice(&s);
        const size_t before = stats_of(s.engine).bytes_spilled;
        const int fd = *(const int *)choice->spilled;
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        if (how == 0) mqa_engine_cancel(s.engine, choice->job->id);
        if (how == 1) choice->job->request.total_seconds = 1e-300, choice->job->submitted = -1;
        if (how == 2) { /* with the engine */
            for (int i = 0; i < N; i++) free(s.replies[i]);
            free(s.tokens);
            mqa_engine_destroy(&s.engine);
            assert_int_equal(fstat(fd, &st), -1);
            rig_close(&s.r);
            continue;
        }
        step_once(&s);
        assert_true(stats_of(s.engine).bytes_spilled <= before - (size_t)st.st_size ||
                    stats_of(s.engine).spilled > 1);
        finish(&s);
    }
}

/* ---- threads ---- */

static atomic_bool stopped, passed; /* the limit */

static void *look(void *engine)
{
    while (!stopped) {
        const mqa_engine_stats stats = stats_of(engine);
        if (stats.bytes_spilled > ((mqa_engine *)engine)->spill.limit) passed = true;
        tenant_stats_of(engine, 0);
    }
    return NULL;
}

/* Who looks on, submits and cancels while the step writes and reads. */
static void others_go_on_meanwhile(void **state)
{
    (void)state;
    served s = serve(1, 0);
    ask(&s);
    stopped = passed = false;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, look, s.engine), 0);
    run_until_spilled(&s);
    mqa_engine_cancel(s.engine, s.replies[N - 1]->id);
    while (step_once(&s)) continue;
    stopped = true;
    pthread_join(thread, NULL);
    assert_false(passed);
    assert_true(finish(&s).spilled > 0);
}

/* ---- folders ---- */

static void what_killed_processes_left_is_cleaned(void **state)
{
    (void)state;
    char left[100], other[100];
    snprintf(left, sizeof left, "%s/mqa-unnamed.abcdef", folder);
    snprintf(other, sizeof other, "%s/somebody-elses", folder);
    fclose(fopen(left, "w"));
    fclose(fopen(other, "w"));
    served s = serve(1, 0);
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(unlink(other), 0);
    ask(&s);
    finish(&s);
}

static void a_folder_that_cannot_be_used_is_refused(void **state)
{
    (void)state;
    synthetic_write(&small_llama, path);
    rig r = rig_open(path, (rig_options){0});
    mqa_engine_options o = mqa_engine_options_default();
    mqa_engine *engine = NULL;
    mqa_error e;
    char below[100];
    snprintf(below, sizeof below, "%s/a/b", folder);
    o.spill_dir = below;
    assert_int_equal(mqa_engine_create(r.model, &o, &engine, &e), MQA_ERR_IO);
    o.spill_dir = path; /* a file */
    assert_int_equal(mqa_engine_create(r.model, &o, &engine, &e), MQA_ERR_IO);
    assert_null(engine);
    snprintf(below, sizeof below, "%s/made", folder);
    o.spill_dir = below;
    OK(mqa_engine_create(r.model, &o, &engine, &err));
    struct stat st;
    assert_int_equal(stat(below, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    mqa_engine_destroy(&engine);
    assert_int_equal(rmdir(below), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_computed_is_not_computed_again),
                                       cmocka_unit_test(sizes_are_exact),
                                       cmocka_unit_test(the_limit_is_kept),
                                       cmocka_unit_test(what_a_disk_lost_is_computed),
                                       cmocka_unit_test(what_a_disk_refuses_is_computed),
                                       cmocka_unit_test(what_costs_more_than_computing_is_computed),
                                       cmocka_unit_test(a_request_that_ends_takes_its_file_along),
                                       cmocka_unit_test(others_go_on_meanwhile),
                                       cmocka_unit_test(what_killed_processes_left_is_cleaned),
                                       cmocka_unit_test(a_folder_that_cannot_be_used_is_refused)};
    return cmocka_run_group_tests_name("spill", tests, setup, teardown);
}
