/* Contexts, and the names of instruction sets (dispatch.c says which are available).
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "kernels/context.h"

#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "base/take_struct.h"

static const char *const isa_names[] = {
    [MQA_ISA_AUTO] = "auto", [MQA_ISA_REFERENCE] = "reference",
    [MQA_ISA_AVX2] = "avx2", [MQA_ISA_AVX512] = "avx512",
    [MQA_ISA_AMX] = "amx",   [MQA_ISA_AMX_C] = "amx-c",
    [MQA_ISA_NEON] = "neon", [MQA_ISA_NEON_C] = "neon-c",
};
enum { N_ISAS = sizeof isa_names / sizeof isa_names[0] };

static bool known(mqa_isa isa)
{
    return (unsigned)isa < N_ISAS;
}

const char *mqa_isa_name(mqa_isa isa)
{
    return known(isa) ? isa_names[isa] : "unknown";
}

mqa_status mqa_isa_parse(const char *name, mqa_isa *out, mqa_error *err)
{
    if (name && out) {
        for (int i = 0; i < N_ISAS; i++) {
            if (strcmp(name, isa_names[i]) != 0) continue;
            *out = (mqa_isa)i;
            return MQA_OK;
        }
    }
    return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                    "instruction set '%.40s': give auto, reference, avx2, avx512, amx, amx-c, neon or neon-c",
                    name ? name : "(null)");
}

void mqa_context_options_init(mqa_context_options *out, size_t struct_size)
{
    const mqa_context_options defaults = {.isa = MQA_ISA_AUTO, .numerics = MQA_NUMERICS_FAST};
    mqa_give_struct(&defaults, sizeof defaults, out, struct_size);
}

static mqa_status check_options(const mqa_context_options *o, mqa_error *err)
{
    if (o->numerics != MQA_NUMERICS_FAST && o->numerics != MQA_NUMERICS_PORTABLE)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "numerics is %d: give MQA_NUMERICS_FAST or _PORTABLE",
                        (int)o->numerics);
    if (o->n_threads < 0)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "n_threads is %d: give 0 (all CPUs) or more",
                        o->n_threads);
    if (o->allocator && (!o->allocator->alloc || !o->allocator->free))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "the allocator lacks alloc or free");
    if (!known(o->isa))
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "isa is %d: not one of mqa_isa", (int)o->isa);
    return MQA_OK;
}

mqa_status mqa_context_create(const mqa_context_options *options, mqa_context **out, mqa_error *err)
{
    if (!out) return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT, "mqa_context_create: out is NULL");
    *out = NULL;
    mqa_context_options o = mqa_context_options_default();
    if (options) MQA_TRY(MQA_TAKE(mqa_context_options, options, &o, err));
    MQA_TRY(check_options(&o, err));
    const mqa_kernels *kernels = mqa_kernels_get(o.isa);
    if (!kernels)
        return mqa_fail(err, MQA_ERR_UNSUPPORTED, "instruction set %s: this CPU or this build lacks it",
                        mqa_isa_name(o.isa));

    mqa_context *ctx = mqa_alloc(o.allocator, sizeof *ctx);
    if (!ctx) return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a context");
    ctx->kernels = kernels;
    ctx->numerics = o.numerics;
    if (o.log) ctx->log = *o.log;
    if (o.allocator) {
        ctx->allocator_copy = *o.allocator;
        ctx->allocator = &ctx->allocator_copy;
    }
    mqa_status status = o.parallel_for
                            ? mqa_pool_create_over(o.parallel_for, o.n_threads, &ctx->pool, err)
                            : mqa_pool_create(o.n_threads ? o.n_threads : mqa_cpu_count(), &ctx->pool, err);
    if (status != MQA_OK) {
        mqa_context_destroy(&ctx);
        return status;
    }
    mqa_log(&ctx->log, MQA_LOG_DEBUG, "context: %s, %s numerics, %d threads", mqa_isa_name(kernels->isa),
            o.numerics == MQA_NUMERICS_FAST ? "fast" : "portable", mqa_pool_n_threads(ctx->pool));
    *out = ctx;
    return MQA_OK;
}

void mqa_context_destroy(mqa_context **ctx)
{
    if (!ctx || !*ctx) return;
    mqa_pool_destroy(&(*ctx)->pool);
    const mqa_allocator copy = (*ctx)->allocator_copy; /* it frees the block that holds it */
    mqa_release((*ctx)->allocator ? &copy : NULL, *ctx, sizeof **ctx);
    *ctx = NULL;
}

mqa_isa mqa_context_isa(const mqa_context *ctx)
{
    return ctx->kernels->isa;
}

mqa_numerics mqa_context_numerics(const mqa_context *ctx)
{
    return ctx->numerics;
}

int mqa_context_n_threads(const mqa_context *ctx)
{
    return mqa_pool_n_threads(ctx->pool);
}
