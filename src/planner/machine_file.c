/* Calibrations on disk.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folders.h"
#include "base/new_file.h"
#include "planner/design.h"

enum { VERSION = 9, PATH_BYTES = 1024 };

/* ---- where ---- */

/* "AMD EPYC, 2 threads, avx512": "AMD-EPYC-2-threads-avx512.json". */
static mqa_status file_path(const char *key, char out[PATH_BYTES], mqa_error *err)
{
    char name[160];
    size_t n = 0;
    for (; *key && n + 1 < sizeof name; key++) {
        const bool plain = (*key >= '0' && *key <= '9') || (*key >= 'a' && *key <= 'z') ||
                           (*key >= 'A' && *key <= 'Z') || *key == '.';
        if (plain)
            name[n++] = *key;
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    name[n] = 0;
    char dir[PATH_BYTES];
    MQA_TRY(mqa_user_folder("XDG_CACHE_HOME", ".cache", dir, sizeof dir, err));
    if (snprintf(out, PATH_BYTES, "%s/%s.json", dir, name) >= PATH_BYTES)
        return mqa_fail(err, MQA_ERR_IO, "the path of the cache folder is too long");
    return MQA_OK;
}

/* ---- writing ---- */

static const struct {
    const char *name;
    size_t offset; /* of a double in mqa_machine */
} numbers[] = {{"bandwidth", offsetof(mqa_machine, bandwidth)},
               {"f32", offsetof(mqa_machine, peak[MQA_RATE_F32])},
               {"bf16", offsetof(mqa_machine, peak[MQA_RATE_BF16])},
               {"int8", offsetof(mqa_machine, peak[MQA_RATE_INT8])},
               {"exp_rate", offsetof(mqa_machine, exp_rate)},
               {"seconds_per_step", offsetof(mqa_machine, seconds_per_step)},
               {"seconds_per_layer", offsetof(mqa_machine, seconds_per_layer)},
               {"seconds_per_value", offsetof(mqa_machine, seconds_per_value)},
               {"seconds_per_granule", offsetof(mqa_machine, seconds_per_granule)},
               {"seconds_per_small_page", offsetof(mqa_machine, seconds_per_small_page)},
               {"seconds_per_request", offsetof(mqa_machine, seconds_per_request)},
               {"seconds_per_unit", offsetof(mqa_machine, seconds_per_unit)},
               {"curve_bytes", offsetof(mqa_machine, curve_bytes)}};
enum { N_NUMBERS = sizeof numbers / sizeof numbers[0] };

/* Of each format of K and V. */
static const struct {
    const char *name;
    size_t offset;
} by_format[] = {{"seconds_per_kv_value", offsetof(mqa_machine, seconds_per_kv_value)},
                 {"seconds_per_score", offsetof(mqa_machine, seconds_per_score)},
                 {"seconds_per_turned_value", offsetof(mqa_machine, seconds_per_turned_value)}};
enum { N_BY_FORMAT = sizeof by_format / sizeof by_format[0] };

static json_t *curve_json(const mqa_curve *curve)
{
    json_t *list = json_array();
    for (int i = 0; i < MQA_CURVE_POINTS; i++) json_array_append_new(list, json_real(curve->share[i]));
    for (int i = 0; i < MQA_CURVE_POINTS; i++) json_array_append_new(list, json_real(curve->memory[i]));
    return list;
}

static json_t *by_format_json(const mqa_machine *m, size_t offset)
{
    json_t *object = json_object();
    double values[MQA_KV_TYPES];
    memcpy(values, (const char *)m + offset, sizeof values);
    for (int t = 0; t < MQA_KV_TYPES; t++)
        json_object_set_new(object, mqa_kv_type_name((mqa_kv_type)t), json_real(values[t]));
    return object;
}

static json_t *machine_json(const char *key, const mqa_machine *m)
{
    json_t *linear = json_object(), *attention = json_object();
    json_t *caches = json_array(), *rows = json_array();
    for (int i = 0; i < MQA_CURVE_POINTS; i++) json_array_append_new(rows, json_integer(mqa_curve_rows[i]));
    for (int c = 0; c < MQA_WEIGHT_CLASSES; c++)
        json_object_set_new(linear, mqa_weight_class_name((mqa_weight_class)c), curve_json(&m->linear[c]));
    for (int t = 0; t < MQA_KV_TYPES; t++) {
        const char *type = mqa_kv_type_name((mqa_kv_type)t);
        json_object_set_new(attention, type, curve_json(&m->attention[t]));
    }
    for (int i = 0; i < m->n_caches; i++)
        json_array_append_new(
            caches, json_pack("[f, f, f]", m->caches[i].bytes, m->caches[i].rate, m->caches[i].share));
    json_t *object = json_pack("{s:i, s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:o, s:o}", "version", VERSION,
                               "key", key, "name", m->name, "source", m->source, "threads", m->n_threads,
                               "memory", (json_int_t)m->memory, "caches", caches, "rows", rows, "linear",
                               linear, "attention", attention);
    for (int i = 0; object && i < N_BY_FORMAT; i++)
        json_object_set_new(object, by_format[i].name, by_format_json(m, by_format[i].offset));
    for (int i = 0; object && i < N_NUMBERS; i++) {
        double value;
        memcpy(&value, (const char *)m + numbers[i].offset, sizeof value);
        json_object_set_new(object, numbers[i].name, json_real(value));
    }
    return object;
}

static mqa_status write_text(const char *path, const char *text, mqa_error *err)
{
    mqa_new_file file;
    MQA_TRY(mqa_new_file_open(path, &file, err));
    fprintf(file.stream, "%s\n", text);
    return mqa_new_file_finish(&file, err);
}

mqa_status mqa_machine_save(const char *key, const mqa_machine *machine, char *path, size_t path_size,
                            mqa_error *err)
{
    char file[PATH_BYTES];
    MQA_TRY(mqa_machine_check(machine, err));
    MQA_TRY(file_path(key, file, err));
    MQA_TRY(mqa_make_parents(file, 0777, err));
    json_t *object = machine_json(key, machine);
    char *text = object ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(object);
    if (!text) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a calibration's text");
    const mqa_status status = write_text(file, text, err);
    free(text);
    if (status == MQA_OK && path) snprintf(path, path_size, "%s", file);
    return status;
}

/* ---- reading ---- */

static bool read_curves(const json_t *object, const char *name, mqa_curve *out)
{
    const json_t *list = json_object_get(object, name);
    if (json_array_size(list) != 2 * (size_t)MQA_CURVE_POINTS) return false;
    for (size_t i = 0; i < MQA_CURVE_POINTS; i++) {
        out->share[i] = json_number_value(json_array_get(list, i));
        out->memory[i] = json_number_value(json_array_get(list, MQA_CURVE_POINTS + i));
    }
    return true;
}

static bool read_rows(const json_t *list)
{
    if (json_array_size(list) != MQA_CURVE_POINTS) return false;
    for (size_t i = 0; i < MQA_CURVE_POINTS; i++)
        if (json_integer_value(json_array_get(list, i)) != mqa_curve_rows[i]) return false;
    return true;
}

static bool read_numbers(const json_t *object, mqa_machine *m)
{
    for (int i = 0; i < N_NUMBERS; i++) {
        const json_t *number = json_object_get(object, numbers[i].name);
        if (!json_is_number(number)) return false;
        const double value = json_number_value(number);
        memcpy((char *)m + numbers[i].offset, &value, sizeof value);
    }
    return true;
}

static bool read_caches(const json_t *list, mqa_machine *m)
{
    if (json_array_size(list) > MQA_MACHINE_CACHES) return false;
    for (; m->n_caches < (int)json_array_size(list); m->n_caches++) {
        const json_t *triple = json_array_get(list, (size_t)m->n_caches);
        m->caches[m->n_caches].bytes = json_number_value(json_array_get(triple, 0));
        m->caches[m->n_caches].rate = json_number_value(json_array_get(triple, 1));
        m->caches[m->n_caches].share = json_number_value(json_array_get(triple, 2));
    }
    return true;
}

static bool read_shares(const json_t *linear, const json_t *attention, mqa_machine *m)
{
    for (int c = 0; c < MQA_WEIGHT_CLASSES; c++)
        if (!read_curves(linear, mqa_weight_class_name((mqa_weight_class)c), &m->linear[c])) return false;
    for (int t = 0; t < MQA_KV_TYPES; t++) {
        const char *type = mqa_kv_type_name((mqa_kv_type)t);
        if (!read_curves(attention, type, &m->attention[t])) return false;
    }
    return true;
}

static bool read_by_format(const json_t *object, mqa_machine *m)
{
    for (int i = 0; i < N_BY_FORMAT; i++)
        for (int t = 0; t < MQA_KV_TYPES; t++) {
            const json_t *number =
                json_object_get(json_object_get(object, by_format[i].name), mqa_kv_type_name((mqa_kv_type)t));
            if (!json_is_number(number)) return false;
            const double value = json_number_value(number);
            memcpy((char *)m + by_format[i].offset + (size_t)t * sizeof value, &value, sizeof value);
        }
    return true;
}

static bool read_machine(json_t *object, const char *key, mqa_machine *m)
{
    const char *own_key, *name, *source;
    json_t *caches, *rows, *linear, *attention;
    json_int_t memory;
    int version;
    if (json_unpack(object, "{s:i, s:s, s:s, s:s, s:i, s:I, s:o, s:o, s:o, s:o}", "version", &version, "key",
                    &own_key, "name", &name, "source", &source, "threads", &m->n_threads, "memory", &memory,
                    "caches", &caches, "rows", &rows, "linear", &linear, "attention", &attention) != 0)
        return false;
    if (version != VERSION || strcmp(key, own_key) != 0 || memory < 0 || m->n_threads < 0) return false;
    mqa_design_text(m->name, sizeof m->name, name, strlen(name));
    mqa_design_text(m->source, sizeof m->source, source, strlen(source));
    m->memory = (size_t)memory;
    m->measured = true;
    return read_rows(rows) && read_numbers(object, m) && read_caches(caches, m) &&
           read_shares(linear, attention, m) && read_by_format(object, m);
}

mqa_status mqa_machine_load(const char *key, mqa_machine *out, mqa_error *err)
{
    char path[PATH_BYTES];
    *out = (mqa_machine){0};
    MQA_TRY(file_path(key, path, err));
    if (access(path, R_OK) != 0) return mqa_fail(err, MQA_ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    json_error_t where;
    json_t *object = json_load_file(path, 0, &where);
    if (!object) return mqa_fail(err, MQA_ERR_FORMAT, "%s: line %d: %s", path, where.line, where.text);
    const bool whole = read_machine(object, key, out);
    json_decref(object);
    mqa_error detail;
    if (whole && mqa_machine_check(out, &detail) == MQA_OK) return MQA_OK;
    return mqa_fail(err, MQA_ERR_FORMAT,
                    "%s is no calibration of this program and CPU: make one with mqa plan --calibrate", path);
}
