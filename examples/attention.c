/* Attention on plain arrays, one call. A query of zeros likes all keys alike, so every head's answer is the
 * mean of the values. C and C++; the README of the project shows the same lines.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <mqa/mqa.h>
#include <stdio.h>

int main(void)
{
    enum { HEADS = 32, DIM = 64, TOKENS = 100 }; /* 32 query heads share one K and one V */
    static float q[HEADS * DIM], k[TOKENS * DIM], v[TOKENS * DIM], out[HEADS * DIM];
    for (int i = 0; i < TOKENS * DIM; i++) v[i] = (float)(i / DIM);
    mqa_error err;
    mqa_context *ctx = NULL;
    mqa_status status = mqa_context_create(NULL, &ctx, &err);
    if (!status) status = mqa_attention(ctx, HEADS, 1, DIM, 1, TOKENS, q, k, v, 0.125f, out, &err);
    mqa_context_destroy(&ctx);
    if (status) return fprintf(stderr, "%s\n", err.message), 1;
    printf("head 0: %g, head 31: %g\n", out[0], out[31 * DIM]);
    return 0;
}
