/* SPDX-License-Identifier: Apache-2.0 */
#include "server/store.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/status.h"
#include "base/utf8.h"

enum { BUSY_MS = 10000 };

struct mqa_store {
    sqlite3 *db;
    sqlite3_stmt *journal; /* kept, since it runs for every answer */
};

/* From each version of the file to the next; version 0 is an empty one. What is here was given to people:
 * it is added to, never changed. */
static const char *const steps[] = {
    "CREATE TABLE tenants ("
    " name TEXT PRIMARY KEY, key_hash BLOB NOT NULL UNIQUE, budget_bytes INTEGER NOT NULL,"
    " tokens_per_minute INTEGER NOT NULL, weight INTEGER NOT NULL, is_operator INTEGER NOT NULL,"
    " created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) STRICT;"
    "CREATE TABLE usage ("
    " request_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,"
    " finish TEXT NOT NULL, created_ms INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,"
    " cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, first_token_ms REAL NOT NULL,"
    " total_ms REAL NOT NULL) STRICT;"
    "CREATE INDEX usage_by_tenant ON usage (tenant, created_ms);",

    "ALTER TABLE tenants ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE tenants ADD COLUMN models TEXT NOT NULL DEFAULT '';"
    "CREATE TABLE tenants_version (n INTEGER NOT NULL) STRICT;"
    "INSERT INTO tenants_version VALUES (0);"
    "CREATE TRIGGER tenant_added AFTER INSERT ON tenants BEGIN UPDATE tenants_version SET n = n + 1; END;"
    "CREATE TRIGGER tenant_set AFTER UPDATE ON tenants BEGIN UPDATE tenants_version SET n = n + 1; END;"
    "CREATE TRIGGER tenant_removed AFTER DELETE ON tenants BEGIN UPDATE tenants_version SET n = n + 1; END;",
};
enum { VERSION = sizeof steps / sizeof steps[0] };

#define TENANT_COLUMNS                                                                                       \
    "name, key_hash, budget_bytes, tokens_per_minute, weight, is_operator, priority, models"

static mqa_status sql_error(mqa_store *s, const char *what, mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_IO, "%s: %s", what, sqlite3_errmsg(s->db));
}

static mqa_status run_sql(mqa_store *s, const char *sql, mqa_error *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? MQA_OK
                                                                   : sql_error(s, "the state folder", err);
}

static mqa_status prepare(mqa_store *s, const char *sql, sqlite3_stmt **out, mqa_error *err)
{
    return sqlite3_prepare_v2(s->db, sql, -1, out, NULL) == SQLITE_OK ? MQA_OK
                                                                      : sql_error(s, "the state folder", err);
}

/* One number that a statement without parameters gives. */
static mqa_status ask_number(mqa_store *s, const char *sql, int64_t *out, mqa_error *err)
{
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s, sql, &statement, err));
    const bool ok = sqlite3_step(statement) == SQLITE_ROW;
    if (ok) *out = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return ok ? MQA_OK : sql_error(s, "the state folder", err);
}

/* To this program's version; two processes may come here at once. */
static mqa_status bring_up(mqa_store *s, mqa_error *err)
{
    int64_t version = 0;
    char set[40];
    MQA_TRY(run_sql(s, "BEGIN IMMEDIATE", err));
    mqa_status status = ask_number(s, "PRAGMA user_version", &version, err);
    if (status == MQA_OK && (version < 0 || version > VERSION))
        status = mqa_fail(err, MQA_ERR_FORMAT,
                          "the state folder is of version %lld, this program knows %d: use a newer mqa",
                          (long long)version, VERSION);
    for (; status == MQA_OK && version < VERSION; version++) status = run_sql(s, steps[version], err);
    snprintf(set, sizeof set, "PRAGMA user_version = %d", VERSION);
    if (status == MQA_OK) status = run_sql(s, set, err);
    if (status == MQA_OK) return run_sql(s, "COMMIT", err);
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static mqa_status open_file(mqa_store *s, const char *path, mqa_error *err)
{
    if (sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL) != SQLITE_OK)
        return sql_error(s, path, err);
    sqlite3_busy_timeout(s->db, BUSY_MS);
    MQA_TRY(run_sql(s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA trusted_schema = OFF",
                    err));
    MQA_TRY(bring_up(s, err));
    return prepare(s, "INSERT INTO usage VALUES (?,?,?,?,?,?,?,?,?,?,?)", &s->journal, err);
}

mqa_status mqa_store_open(const char *folder, mqa_store **out, mqa_error *err)
{
    *out = NULL;
    char path[4096];
    const int n = snprintf(path, sizeof path, "%s/mqa.sqlite", folder);
    if (n < 0 || (size_t)n >= sizeof path)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the state folder's name is too long");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        return mqa_fail(err, MQA_ERR_IO, "state folder %s: %s", folder, strerror(errno));
    mqa_store *s = calloc(1, sizeof *s);
    if (!s) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for the state");
    const mqa_status status = open_file(s, path, err);
    if (status != MQA_OK)
        mqa_store_close(&s);
    else
        *out = s;
    return status;
}

void mqa_store_close(mqa_store **store)
{
    if (!store || !*store) return;
    sqlite3_finalize((*store)->journal);
    sqlite3_close((*store)->db);
    free(*store);
    *store = NULL;
}

/* ---- tenants ---- */

mqa_status mqa_tenant_check_name(const char *name, mqa_error *err)
{
    const size_t n = strlen(name);
    if (n == 0 || n >= MQA_TENANT_NAME)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a tenant's name has 1 to %d bytes",
                        MQA_TENANT_NAME - 1);
    if (!mqa_utf8_valid((const uint8_t *)name, n))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a tenant's name is UTF-8");
    for (const unsigned char *c = (const unsigned char *)name; *c; c++)
        if (*c < 32 || *c == 127)
            return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a tenant's name has no control characters");
    return MQA_OK;
}

mqa_status mqa_tenant_check_models(const char *models, mqa_error *err)
{
    const size_t n = strlen(models);
    if (n >= MQA_TENANT_MODELS)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the names of a tenant's models have %d bytes at most",
                        MQA_TENANT_MODELS - 1);
    if (!mqa_utf8_valid((const uint8_t *)models, n))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "a model's name is UTF-8");
    return MQA_OK;
}

bool mqa_tenant_may_use(const mqa_tenant_record *tenant, const char *model)
{
    const size_t n = strlen(model);
    if (tenant->models[0] == 0) return true;
    for (const char *at = tenant->models;; at++) {
        const size_t length = strcspn(at, ",");
        if (length == n && memcmp(at, model, n) == 0) return true;
        at += length;
        if (*at == 0) return false;
    }
}

static void bind_tenant(sqlite3_stmt *statement, const mqa_tenant_record *t)
{
    sqlite3_bind_text(statement, 1, t->name, -1, SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, t->key_hash, sizeof t->key_hash, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, t->budget_bytes);
    sqlite3_bind_int64(statement, 4, t->tokens_per_minute);
    sqlite3_bind_int64(statement, 5, t->weight);
    sqlite3_bind_int(statement, 6, t->is_operator);
    sqlite3_bind_int64(statement, 7, t->priority);
    sqlite3_bind_text(statement, 8, t->models, -1, SQLITE_STATIC);
}

static bool read_tenant(sqlite3_stmt *statement, mqa_tenant_record *out)
{
    const char *name = (const char *)sqlite3_column_text(statement, 0);
    const void *hash = sqlite3_column_blob(statement, 1);
    const char *models = (const char *)sqlite3_column_text(statement, 7);
    if (!name || strlen(name) >= sizeof out->name || !hash ||
        sqlite3_column_bytes(statement, 1) != MQA_KEY_HASH_BYTES || !models ||
        strlen(models) >= sizeof out->models)
        return false;
    *out = (mqa_tenant_record){.budget_bytes = sqlite3_column_int64(statement, 2),
                               .tokens_per_minute = sqlite3_column_int64(statement, 3),
                               .weight = sqlite3_column_int64(statement, 4),
                               .is_operator = sqlite3_column_int(statement, 5) != 0,
                               .priority = sqlite3_column_int64(statement, 6)};
    snprintf(out->name, sizeof out->name, "%s", name);
    snprintf(out->models, sizeof out->models, "%s", models);
    memcpy(out->key_hash, hash, MQA_KEY_HASH_BYTES);
    return true;
}

static mqa_status damaged(mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_FORMAT, "the state folder holds a tenant that is damaged");
}

/* Runs a statement that changes rows, and says of how many. */
static mqa_status change(mqa_store *s, sqlite3_stmt *statement, const char *name, int *n, mqa_error *err)
{
    const int code = sqlite3_step(statement);
    sqlite3_finalize(statement);
    *n = sqlite3_changes(s->db);
    if (code == SQLITE_DONE) return MQA_OK;
    if (code == SQLITE_CONSTRAINT)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "there is a tenant '%s' already", name);
    return sql_error(s, "the state folder", err);
}

static mqa_status no_tenant(const char *name, mqa_error *err)
{
    return mqa_fail(err, MQA_ERR_NOT_FOUND, "there is no tenant '%s': 'mqa tenant list' has them all", name);
}

mqa_status mqa_store_add(mqa_store *s, const mqa_tenant_record *tenant, mqa_error *err)
{
    MQA_TRY(mqa_tenant_check_name(tenant->name, err));
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s, "INSERT INTO tenants (" TENANT_COLUMNS ") VALUES (?,?,?,?,?,?,?,?)", &statement, err));
    bind_tenant(statement, tenant);
    int n;
    return change(s, statement, tenant->name, &n, err);
}

mqa_status mqa_store_set(mqa_store *s, const mqa_tenant_record *tenant, mqa_error *err)
{
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s,
                    "UPDATE tenants SET key_hash = ?2, budget_bytes = ?3, tokens_per_minute = ?4,"
                    " weight = ?5, is_operator = ?6, priority = ?7, models = ?8 WHERE name = ?1",
                    &statement, err));
    bind_tenant(statement, tenant);
    int n;
    MQA_TRY(change(s, statement, tenant->name, &n, err));
    return n == 1 ? MQA_OK : no_tenant(tenant->name, err);
}

mqa_status mqa_store_get(mqa_store *s, const char *name, mqa_tenant_record *out, mqa_error *err)
{
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s, "SELECT " TENANT_COLUMNS " FROM tenants WHERE name = ?", &statement, err));
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    const int code = sqlite3_step(statement);
    const bool whole = code == SQLITE_ROW && read_tenant(statement, out);
    sqlite3_finalize(statement);
    if (code == SQLITE_DONE) return no_tenant(name, err);
    if (code != SQLITE_ROW) return sql_error(s, "the state folder", err);
    return whole ? MQA_OK : damaged(err);
}

mqa_status mqa_store_remove(mqa_store *s, const char *name, mqa_error *err)
{
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s, "DELETE FROM tenants WHERE name = ?", &statement, err));
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    int n;
    MQA_TRY(change(s, statement, name, &n, err));
    return n == 1 ? MQA_OK : no_tenant(name, err);
}

mqa_status mqa_store_list(mqa_store *s, mqa_tenant_record **out, size_t *n, mqa_error *err)
{
    *out = NULL;
    *n = 0;
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s, "SELECT " TENANT_COLUMNS " FROM tenants ORDER BY name", &statement, err));
    mqa_status status = MQA_OK;
    size_t room = 0;
    int code;
    while (status == MQA_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        if (*n == room) {
            room = room ? 2 * room : 16;
            mqa_tenant_record *more = reallocarray(*out, room, sizeof **out);
            if (!more) {
                status = mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for %zu tenants", room);
                break;
            }
            *out = more;
        }
        if (read_tenant(statement, &(*out)[*n]))
            (*n)++;
        else
            status = damaged(err);
    }
    if (status == MQA_OK && code != SQLITE_DONE) status = sql_error(s, "the state folder", err);
    sqlite3_finalize(statement);
    if (status == MQA_OK) return MQA_OK;
    free(*out);
    *out = NULL;
    *n = 0;
    return status;
}

mqa_status mqa_store_version(mqa_store *s, int64_t *out, mqa_error *err)
{
    return ask_number(s, "SELECT n FROM tenants_version", out, err);
}

/* ---- the journal ---- */

mqa_status mqa_store_journal(mqa_store *s, const mqa_usage_record *u, mqa_error *err)
{
    sqlite3_stmt *j = s->journal;
    sqlite3_bind_text(j, 1, u->request_id, -1, SQLITE_STATIC);
    sqlite3_bind_text(j, 2, u->tenant, -1, SQLITE_STATIC);
    sqlite3_bind_text(j, 3, u->model, -1, SQLITE_STATIC);
    sqlite3_bind_text(j, 4, u->endpoint, -1, SQLITE_STATIC);
    sqlite3_bind_text(j, 5, u->finish, -1, SQLITE_STATIC);
    sqlite3_bind_int64(j, 6, u->created_ms);
    sqlite3_bind_int64(j, 7, u->prompt_tokens);
    sqlite3_bind_int64(j, 8, u->cached_tokens);
    sqlite3_bind_int64(j, 9, u->completion_tokens);
    sqlite3_bind_double(j, 10, u->first_token_ms);
    sqlite3_bind_double(j, 11, u->total_ms);
    const int code = sqlite3_step(j);
    mqa_status status = MQA_OK;
    if (code != SQLITE_DONE)
        status = code == SQLITE_CONSTRAINT ? mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                                                      "request %s is in the journal already", u->request_id)
                                           : sql_error(s, "the journal", err);
    sqlite3_reset(j);
    sqlite3_clear_bindings(j);
    return status;
}

mqa_status mqa_store_usage(mqa_store *s, const char *tenant, mqa_usage_sum *out, mqa_error *err)
{
    sqlite3_stmt *statement;
    MQA_TRY(prepare(s,
                    "SELECT count(*), total(prompt_tokens), total(cached_tokens), total(completion_tokens)"
                    " FROM usage WHERE ?1 IS NULL OR tenant = ?1",
                    &statement, err));
    sqlite3_bind_text(statement, 1, tenant, -1, SQLITE_STATIC);
    const bool ok = sqlite3_step(statement) == SQLITE_ROW;
    if (ok)
        *out = (mqa_usage_sum){.n_requests = sqlite3_column_int64(statement, 0),
                               .prompt_tokens = sqlite3_column_int64(statement, 1),
                               .cached_tokens = sqlite3_column_int64(statement, 2),
                               .completion_tokens = sqlite3_column_int64(statement, 3)};
    sqlite3_finalize(statement);
    return ok ? MQA_OK : sql_error(s, "the journal", err);
}
