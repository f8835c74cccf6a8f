/* mqa info FILE: metadata, tensors by type, and what a token costs in the KV cache.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gguf/gguf.h"
#include "info.h"

enum { MAX_TYPES = 64 };

typedef struct type_sum {
    uint32_t type;
    size_t n_tensors;
    uint64_t n_values, n_bytes;
} type_sum;

typedef struct file_report {
    mqa_gguf *gguf;
    char arch[64], name[256];
    uint64_t n_values, n_bytes; /* of all tensors */
    type_sum types[MAX_TYPES];
    int n_types;
    uint32_t layers, heads, kv_heads, head_dim, context; /* heads is 0 where the file doesn't say */
    uint32_t latent; /* values a token of the cache of latent attention, which is K and V at once; 0: none */
    uint32_t unfolded; /* of the K and V of one head that it stands for */
} file_report;

/* A file's text is anybody's: one line, no control characters. */
static const char *clean(const char *text)
{
    static char line[1200];
    snprintf(line, sizeof line, "%s", text);
    mqa_one_line(line);
    return line;
}

static void get_text(const mqa_gguf *gguf, const char *key, char *out, size_t size)
{
    mqa_gguf_str str;
    out[0] = 0;
    if (mqa_gguf_get_str(gguf, key, &str, NULL) != MQA_OK) return;
    snprintf(out, size, "%.*s", (int)(str.size < size ? str.size : size - 1), str.data);
    mqa_one_line(out);
}

static uint32_t get_number(const file_report *r, const char *key)
{
    char full[128];
    uint32_t n = 0;
    snprintf(full, sizeof full, "%s.%s", r->arch, key);
    return mqa_gguf_get_u32(r->gguf, full, &n, NULL) == MQA_OK ? n : 0;
}

static void add_tensor(file_report *r, const mqa_gguf_tensor *tensor)
{
    int i = 0;
    while (i < r->n_types && r->types[i].type != tensor->type) i++;
    if (i == MAX_TYPES) return; /* the format has some forty */
    if (i == r->n_types) r->types[r->n_types++].type = tensor->type;
    r->types[i].n_tensors++;
    r->types[i].n_values += tensor->n_values;
    r->types[i].n_bytes += tensor->n_bytes;
    r->n_values += tensor->n_values;
    r->n_bytes += tensor->n_bytes;
}

/* Older files give the unfolded lengths under the common keys, and as many KV heads. */
static void fill_latent(file_report *r)
{
    const uint32_t rank = get_number(r, "attention.kv_lora_rank"),
                   key = get_number(r, "attention.key_length_mla");
    if (!rank) return;
    const char *length[] = {"attention.key_length", "attention.value_length"};
    const char *mla[] = {"attention.key_length_mla", "attention.value_length_mla"};
    for (int i = 0; i < 2; i++) r->unfolded += get_number(r, key ? mla[i] : length[i]);
    r->latent = rank + get_number(r, "rope.dimension_count");
    r->head_dim = r->latent;
    r->kv_heads = 1;
}

static void fill(file_report *r)
{
    get_text(r->gguf, "general.architecture", r->arch, sizeof r->arch);
    get_text(r->gguf, "general.name", r->name, sizeof r->name);
    for (size_t i = 0; i < mqa_gguf_n_tensors(r->gguf); i++) add_tensor(r, mqa_gguf_tensor_at(r->gguf, i));
    r->layers = get_number(r, "block_count");
    r->heads = get_number(r, "attention.head_count");
    r->kv_heads = get_number(r, "attention.head_count_kv");
    r->head_dim = get_number(r, "attention.key_length");
    r->context = get_number(r, "context_length");
    if (!r->kv_heads) r->kv_heads = r->heads;
    if (!r->head_dim && r->heads) r->head_dim = get_number(r, "embedding_length") / r->heads;
    fill_latent(r);
}

/* K and V of all layers in bf16, windows not heeded. */
static double token_bytes(const file_report *r, bool multi_head)
{
    const double of_a_head = r->latent ? r->unfolded : 2.0 * r->head_dim;
    if (multi_head) return 2.0 * r->layers * r->heads * of_a_head;
    return 2.0 * r->layers * (r->latent ? r->latent : r->kv_heads * of_a_head);
}

static void print_text(const file_report *r, bool tensors)
{
    const mqa_gguf *g = r->gguf;
    printf("file       %s, ", clean(mqa_gguf_path(g)));
    printf("GGUF version %" PRIu32 ", %s", mqa_gguf_version(g), cli_bytes((double)mqa_gguf_file_bytes(g)));
    if (mqa_gguf_n_files(g) > 1) printf(" in %zu files", mqa_gguf_n_files(g));
    printf("\nmodel      %s%s%s\n", r->arch[0] ? r->arch : "(no architecture)", r->name[0] ? ", " : "",
           r->name);
    if (r->heads && r->layers) {
        printf("attention  %" PRIu32 " layers, %" PRIu32 " heads : %" PRIu32 " KV heads of %" PRIu32,
               r->layers, r->heads, r->kv_heads, r->head_dim);
        printf("\nKV cache   %s a token in bf16 if all layers keep it; as multi-head %s\n",
               cli_bytes(token_bytes(r, false)), cli_bytes(token_bytes(r, true)));
    }
    if (r->context) printf("context    %" PRIu32 " tokens\n", r->context);
    printf("tensors    %zu, %" PRIu64 " parameters, %s\n", mqa_gguf_n_tensors(g), r->n_values,
           cli_bytes((double)r->n_bytes));
    for (int i = 0; i < r->n_types; i++)
        printf("  %-8s %5zu tensors %14" PRIu64 " values %12s\n", mqa_gguf_type_name(r->types[i].type),
               r->types[i].n_tensors, r->types[i].n_values, cli_bytes((double)r->types[i].n_bytes));
    printf("metadata   %zu keys\n", mqa_gguf_n_values(g));
    for (size_t i = 0; i < mqa_gguf_n_values(g); i++) {
        const mqa_gguf_value *value = mqa_gguf_value_at(g, i);
        char text[160];
        printf("  %s = ", clean(value->key));
        printf("%s\n", clean(mqa_gguf_format_value(value, text, sizeof text)));
    }
    for (size_t i = 0; tensors && i < mqa_gguf_n_tensors(g); i++) {
        const mqa_gguf_tensor *t = mqa_gguf_tensor_at(g, i);
        printf("  %-8s %s [", mqa_gguf_type_name(t->type), clean(t->name));
        for (uint32_t d = 0; d < t->n_dims; d++) printf("%s%zu", d ? ", " : "", t->dims[d]);
        printf("]\n");
    }
}

static void print_object(const file_report *r, bool tensors)
{
    const mqa_gguf *g = r->gguf;
    json_t *types = json_object(), *metadata = json_object();
    for (int i = 0; i < r->n_types; i++)
        json_object_set_new(types, mqa_gguf_type_name(r->types[i].type),
                            json_integer((json_int_t)r->types[i].n_bytes));
    for (size_t i = 0; i < mqa_gguf_n_values(g); i++) {
        const mqa_gguf_value *value = mqa_gguf_value_at(g, i);
        char text[160];
        mqa_gguf_format_value(value, text, sizeof text);
        mqa_one_line(text);
        json_object_set_new(metadata, value->key, json_string(text));
    }
    json_t *object = json_pack(
        "{s:s, s:i, s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "file",
        clean(mqa_gguf_path(g)), "version", (int)mqa_gguf_version(g), "file_bytes",
        (json_int_t)mqa_gguf_file_bytes(g), "arch", r->arch, "name", r->name, "layers", (json_int_t)r->layers,
        "heads", (json_int_t)r->heads, "kv_heads", (json_int_t)r->kv_heads, "head_dim",
        (json_int_t)r->head_dim, "context", (json_int_t)r->context, "parameters", (json_int_t)r->n_values,
        "tensors", (json_int_t)mqa_gguf_n_tensors(g), "bytes_by_type", types, "metadata", metadata);
    json_t *list = tensors ? json_array() : NULL;
    for (size_t i = 0; tensors && i < mqa_gguf_n_tensors(g); i++) {
        const mqa_gguf_tensor *t = mqa_gguf_tensor_at(g, i);
        json_t *dims = json_array();
        for (uint32_t d = 0; d < t->n_dims; d++)
            json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
        json_array_append_new(list, json_pack("{s:s, s:s, s:o}", "name", t->name, "type",
                                              mqa_gguf_type_name(t->type), "dims", dims));
    }
    if (object && list) json_object_set_new(object, "tensor_list", list);
    cli_print_json(object);
}

int info_file(const char *path, bool tensors, bool json)
{
    static file_report report;
    mqa_error err;
    mqa_status status = mqa_gguf_open(path, &report.gguf, &err);
    if (status != MQA_OK) return cli_error_status(status, &err);
    fill(&report);
    if (json)
        print_object(&report, tensors);
    else
        print_text(&report, tensors);
    mqa_gguf_close(&report.gguf);
    return CLI_DONE;
}
