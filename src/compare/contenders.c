/* The models that are compared: made as files, loaded, and the files gone again.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare/inside.h"
#include "compare/variant_model.h"

enum { PATH_BYTES = 1024 };

/* A folder of our own, so that nothing of anybody's is touched. */
typedef struct scratch {
    char folder[PATH_BYTES], base[PATH_BYTES + 16], variant[PATH_BYTES + 16];
} scratch;

static mqa_status scratch_create(const char *where, scratch *out, mqa_error *err)
{
    if (!where) where = getenv("TMPDIR");
    if (!where || !*where) where = "/tmp";
    const int n = snprintf(out->folder, sizeof out->folder, "%s/mqa-compare-XXXXXX", where);
    if (n < 0 || (size_t)n >= sizeof out->folder || !mkdtemp(out->folder))
        return mqa_fail(err, MQA_ERR_IO, "%.200s: no folder for models can be made there: %s", where,
                        strerror(errno));
    snprintf(out->base, sizeof out->base, "%s/base.gguf", out->folder);
    snprintf(out->variant, sizeof out->variant, "%s/variant.gguf", out->folder);
    return MQA_OK;
}

static void scratch_destroy(const scratch *s)
{
    (void)unlink(s->base);
    (void)unlink(s->variant);
    (void)rmdir(s->folder);
}

static mqa_status open_session(mqa_compare *c, int i, mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    mqa_session_options options = mqa_session_options_default();
    options.context = mqa_compare_last(o->contexts, o->n_contexts);
    options.max_sequences = (int)mqa_compare_last(o->batches, o->n_batches) + 1;
    options.chunk = o->chunk;
    options.k_type = o->k_type;
    options.v_type = o->v_type;
    return mqa_session_create(c->models[i], &options, &c->sessions[i], err);
}

static bool is_there(const mqa_compare_result *r, const mqa_design *design)
{
    for (int i = 0; i < r->n_designs; i++)
        if (mqa_design_same_attention(&r->designs[i], design)) return true;
    return false;
}

static void leave_out(mqa_compare_result *r, mqa_variant variant, const char *why)
{
    const size_t used = strlen(r->left_out);
    snprintf(r->left_out + used, sizeof r->left_out - used, "%s%s: %s", used ? "; " : "",
             mqa_variant_name(variant), why);
}

static mqa_status load_variant(mqa_compare *c, const mqa_gguf *base, const char *path, mqa_variant variant,
                               mqa_error *err)
{
    mqa_compare_result *r = &c->result;
    mqa_error why = {0};
    const mqa_status status = mqa_variant_model_write(base, variant, path, &why);
    if (status == MQA_ERR_UNSUPPORTED) {
        leave_out(r, variant, why.message);
        return MQA_OK;
    }
    if (status != MQA_OK) return mqa_fail(err, status, "%s", why.message);
    mqa_design *design = &r->designs[r->n_designs];
    MQA_TRY(mqa_design_from_file(path, design, err));
    if (is_there(r, design)) {
        leave_out(r, variant, "the same as one before");
        return MQA_OK;
    }
    snprintf(design->label, sizeof design->label, "%s", mqa_variant_name(variant));
    const int i = r->n_designs++;
    MQA_TRY(mqa_model_load(c->ctx, path, NULL, &c->models[i], err));
    mqa_model_get_info(c->models[i], &r->info[i]);
    return open_session(c, i, err);
}

static mqa_status load_all(mqa_compare *c, const scratch *s, mqa_error *err)
{
    const mqa_compare_options *o = &c->options;
    const size_t total = (size_t)o->n_variants + 1;
    MQA_TRY(mqa_compare_report(c, "making models", 0, total, err));
    if (!o->path) MQA_TRY(mqa_random_model_write(&o->random, s->base, err));
    mqa_gguf *base;
    MQA_TRY(mqa_gguf_open(o->path ? o->path : s->base, &base, err));
    mqa_status status = MQA_OK;
    for (int i = 0; status == MQA_OK && i < o->n_variants; i++) {
        status = load_variant(c, base, s->variant, o->variants[i], err);
        if (status == MQA_OK) status = mqa_compare_report(c, "making models", (size_t)i + 2, total, err);
    }
    mqa_gguf_close(&base);
    if (status == MQA_OK && c->result.n_designs == 0)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "nothing to compare: %.400s", c->result.left_out);
    return status;
}

mqa_status mqa_compare_load(mqa_compare *c, mqa_error *err)
{
    scratch s;
    MQA_TRY(scratch_create(c->options.scratch, &s, err));
    const mqa_status status = load_all(c, &s, err);
    scratch_destroy(&s);
    return status;
}
