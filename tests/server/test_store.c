/* The state folder: what was reported done is there after the process was killed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "server/store.h"

static char folder[] = "/tmp/mqa-store-XXXXXX";
static char state_folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(state_folder, sizeof state_folder, "%s/state", folder);
    mqa_error err;
    return mqa_keys_init(&err) == MQA_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static mqa_store *open_store(void)
{
    mqa_store *s = NULL;
    mqa_error err;
    if (mqa_store_open(state_folder, &s, &err) != MQA_OK) fail_msg("%s", err.message);
    return s;
}

static mqa_tenant_record tenant_of(const char *name)
{
    mqa_tenant_record t = {.budget_bytes = 12345,
                           .tokens_per_minute = 60,
                           .weight = 3,
                           .is_operator = true,
                           .priority = -7,
                           .models = "a,b 'c'"};
    char key[MQA_KEY_TEXT_BYTES];
    mqa_key_make(key);
    mqa_key_hash(key, strlen(key), t.key_hash);
    snprintf(t.name, sizeof t.name, "%s", name);
    return t;
}

static void keeps_tenants(void **state)
{
    (void)state;
    mqa_error err;
    mqa_store *s = open_store();
    mqa_tenant_record a = tenant_of("Robert'); DROP TABLE tenants;--"), b = tenant_of("\"b\" √"), got;
    assert_int_equal(mqa_store_add(s, &a, &err), MQA_OK);
    assert_int_equal(mqa_store_add(s, &b, &err), MQA_OK);
    assert_int_equal(mqa_store_add(s, &a, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "already"));
    mqa_store_close(&s);
    s = open_store();
    assert_int_equal(mqa_store_get(s, a.name, &got, &err), MQA_OK);
    assert_memory_equal(&got, &a, sizeof a);
    a.budget_bytes = 7;
    a.is_operator = false;
    a.priority = 100;
    memset(a.models, 0, sizeof a.models);
    assert_int_equal(mqa_store_set(s, &a, &err), MQA_OK);
    assert_int_equal(mqa_store_get(s, a.name, &got, &err), MQA_OK);
    assert_memory_equal(&got, &a, sizeof a);
    mqa_tenant_record *all;
    size_t n;
    assert_int_equal(mqa_store_list(s, &all, &n, &err), MQA_OK);
    assert_int_equal(n, 2);
    assert_memory_equal(&all[0], &b, sizeof b); /* by name */
    free(all);
    assert_int_equal(mqa_store_remove(s, b.name, &err), MQA_OK);
    assert_int_equal(mqa_store_remove(s, b.name, &err), MQA_ERR_NOT_FOUND);
    assert_int_equal(mqa_store_get(s, b.name, &got, &err), MQA_ERR_NOT_FOUND);
    assert_int_equal(mqa_store_set(s, &b, &err), MQA_ERR_NOT_FOUND);
    mqa_store_close(&s);
}

static void refuses_names(void **state)
{
    (void)state;
    mqa_error err;
    char long_name[65] = {0};
    memset(long_name, 'a', 64);
    static const char *const bad[] = {"", "a\nb", "a\x7f", "\xff", "\xc3"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(mqa_tenant_check_name(bad[i], &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_tenant_check_name(long_name, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_tenant_check_name(long_name + 1, &err), MQA_OK);
}

static void tells_of_changes(void **state)
{
    (void)state;
    mqa_error err;
    mqa_store *a = open_store(), *b = open_store();
    int64_t before, after;
    assert_int_equal(mqa_store_version(a, &before, &err), MQA_OK);
    assert_int_equal(mqa_store_version(a, &after, &err), MQA_OK);
    assert_int_equal(before, after);
    const mqa_tenant_record t = tenant_of("t");
    assert_int_equal(mqa_store_add(b, &t, &err), MQA_OK);
    assert_int_equal(mqa_store_version(a, &after, &err), MQA_OK);
    assert_true(before != after);
    /* The journal is none: answers are many, and tenants would be looked at again for each. */
    const mqa_usage_record u = {
        .request_id = "r", .tenant = "t", .model = "m", .endpoint = "e", .finish = "f"};
    before = after;
    assert_int_equal(mqa_store_journal(b, &u, &err), MQA_OK);
    assert_int_equal(mqa_store_version(a, &after, &err), MQA_OK);
    assert_int_equal(before, after);
    assert_int_equal(mqa_store_set(b, &t, &err), MQA_OK);
    assert_int_equal(mqa_store_version(a, &after, &err), MQA_OK);
    assert_true(before != after);
    before = after;
    assert_int_equal(mqa_store_remove(b, "t", &err), MQA_OK);
    assert_int_equal(mqa_store_version(a, &after, &err), MQA_OK);
    assert_true(before != after);
    mqa_store_close(&a);
    mqa_store_close(&b);
}

/* A file as version 1 of it was, with a tenant and an answer: both are there, what is new has its default. */
static void brings_old_files_up(void **state)
{
    (void)state;
    static const char old[] =
        "CREATE TABLE tenants ("
        " name TEXT PRIMARY KEY, key_hash BLOB NOT NULL UNIQUE, budget_bytes INTEGER NOT NULL,"
        " tokens_per_minute INTEGER NOT NULL, weight INTEGER NOT NULL, is_operator INTEGER NOT NULL,"
        " created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT;"
        "CREATE TABLE usage ("
        " request_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,"
        " finish TEXT NOT NULL, created_ms INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
        " cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, first_token_ms REAL NOT NULL,"
        " total_ms REAL NOT NULL) STRICT;"
        "CREATE INDEX usage_by_tenant ON usage (tenant, created_ms);"
        "INSERT INTO tenants (name, key_hash, budget_bytes, tokens_per_minute, weight, is_operator)"
        " VALUES ('old', zeroblob(32), 5, 6, 7, 1);"
        "INSERT INTO usage VALUES ('r', 'old', 'm', 'chat', 'stop', 1, 2, 3, 4, 5.0, 6.0);"
        "PRAGMA user_version = 1";
    mqa_error err;
    char path[96];
    sqlite3 *db;
    assert_int_equal(mkdir(state_folder, 0700), 0);
    snprintf(path, sizeof path, "%s/mqa.sqlite", state_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, old, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    for (int i = 0; i < 2; i++) { /* and once more, when it is new */
        mqa_tenant_record t;
        mqa_usage_sum sum;
        mqa_store *s = open_store();
        assert_int_equal(mqa_store_get(s, "old", &t, &err), MQA_OK);
        assert_true(t.budget_bytes == 5 && t.tokens_per_minute == 6 && t.weight == 7 && t.is_operator);
        assert_int_equal(t.priority, i * 8);
        assert_string_equal(t.models, i ? "m" : "");
        assert_int_equal(mqa_store_usage(s, "old", &sum, &err), MQA_OK);
        assert_int_equal(sum.completion_tokens, 4);
        t.priority = 8;
        strcpy(t.models, "m");
        assert_int_equal(mqa_store_set(s, &t, &err), MQA_OK);
        mqa_store_close(&s);
    }
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 1000", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    mqa_store *s;
    assert_int_equal(mqa_store_open(state_folder, &s, &err), MQA_ERR_FORMAT);
    assert_non_null(strstr(err.message, "1000"));
}

static void knows_models(void **state)
{
    (void)state;
    mqa_error err;
    mqa_tenant_record t = {.models = ""};
    assert_true(mqa_tenant_may_use(&t, "any"));
    strcpy(t.models, "ab,c d,e");
    assert_true(mqa_tenant_may_use(&t, "ab") && mqa_tenant_may_use(&t, "c d") && mqa_tenant_may_use(&t, "e"));
    static const char *const not_these[] = {"", "a", "abc", "b", "ab,c d", "d", "e,", "ab,c d,e"};
    for (size_t i = 0; i < sizeof not_these / sizeof not_these[0]; i++)
        assert_false(mqa_tenant_may_use(&t, not_these[i]));
    char long_list[MQA_TENANT_MODELS + 1] = "";
    memset(long_list, 'a', MQA_TENANT_MODELS);
    assert_int_equal(mqa_tenant_check_models(long_list, &err), MQA_ERR_INVALID_ARGUMENT);
    assert_int_equal(mqa_tenant_check_models(long_list + 1, &err), MQA_OK);
    assert_int_equal(mqa_tenant_check_models("\xff", &err), MQA_ERR_INVALID_ARGUMENT);
}

static void makes_keys(void **state)
{
    (void)state;
    char a[MQA_KEY_TEXT_BYTES], b[MQA_KEY_TEXT_BYTES];
    uint8_t hash[2][MQA_KEY_HASH_BYTES];
    mqa_key_make(a);
    mqa_key_make(b);
    assert_int_equal(strlen(a), MQA_KEY_TEXT_BYTES - 1);
    assert_memory_equal(a, "mqa-", 4);
    assert_string_not_equal(a, b);
    mqa_key_hash(a, strlen(a), hash[0]);
    mqa_key_hash(a, strlen(a), hash[1]);
    assert_memory_equal(hash[0], hash[1], sizeof hash[0]);
    mqa_key_hash(b, strlen(b), hash[1]);
    assert_memory_not_equal(hash[0], hash[1], sizeof hash[0]);
}

/* A child writes to the journal and says each that is done; then it is killed. */
static void journal_survives(void **state)
{
    (void)state;
    mqa_error err;
    int64_t told = 0;
    for (int round = 0; round < 5; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) {
            mqa_store *s = NULL;
            if (mqa_store_open(state_folder, &s, &err) != MQA_OK) _exit(1);
            for (int i = 0;; i++) {
                char id[32];
                snprintf(id, sizeof id, "r%d-%d", round, i);
                const mqa_usage_record u = {.request_id = id,
                                            .tenant = "t",
                                            .model = "m",
                                            .endpoint = "e",
                                            .finish = "stop",
                                            .prompt_tokens = 3,
                                            .completion_tokens = 2};
                if (mqa_store_journal(s, &u, &err) != MQA_OK || write(ends[1], "x", 1) != 1) _exit(1);
            }
        }
        close(ends[1]);
        char c;
        for (int i = 0; i < 20 + 13 * round; i++, told++) assert_int_equal(read(ends[0], &c, 1), 1);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        while (read(ends[0], &c, 1) == 1) told++;
        close(ends[0]);
    }
    mqa_store *s = open_store();
    mqa_usage_sum sum;
    assert_int_equal(mqa_store_usage(s, "t", &sum, &err), MQA_OK);
    assert_true(sum.n_requests >= told &&
                sum.n_requests <= told + 5); /* one a round may be done and untold */
    assert_int_equal(sum.prompt_tokens, 3 * sum.n_requests);
    assert_int_equal(mqa_store_usage(s, NULL, &sum, &err), MQA_OK);
    assert_true(sum.n_requests >= told);
    assert_int_equal(mqa_store_usage(s, "u", &sum, &err), MQA_OK);
    assert_int_equal(sum.n_requests, 0);
    const mqa_usage_record twice = {
        .request_id = "r0-0", .tenant = "t", .model = "m", .endpoint = "e", .finish = "stop"};
    assert_int_equal(mqa_store_journal(s, &twice, &err), MQA_ERR_INVALID_ARGUMENT);
    mqa_store_close(&s);
}

static void refuses_what_is_no_store(void **state)
{
    (void)state;
    mqa_error err;
    mqa_store *s;
    char path[96];
    mqa_store *first = open_store();
    mqa_store_close(&first);
    snprintf(path, sizeof path, "%s/mqa.sqlite", state_folder);
    FILE *f = fopen(path, "wb");
    fputs("this is no database, but long enough to be looked at as if it were one................", f);
    fclose(f);
    assert_int_equal(mqa_store_open(state_folder, &s, &err), MQA_ERR_IO);
    assert_null(s);
    assert_int_equal(mqa_store_open("/proc/nothing/here", &s, &err), MQA_ERR_IO);
}

int main(void)
{
#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(keeps_tenants),       cmocka_unit_test(refuses_names),     IN_FOLDER(tells_of_changes),
        IN_FOLDER(brings_old_files_up), cmocka_unit_test(knows_models),      IN_FOLDER(makes_keys),
        IN_FOLDER(journal_survives),    IN_FOLDER(refuses_what_is_no_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
