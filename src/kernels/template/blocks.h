/* How rows are cut into register blocks. Include after v16_<isa>.h.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_KERNELS_TEMPLATE_BLOCKS_H
#define MQA_KERNELS_TEMPLATE_BLOCKS_H

/* The rows of the next block, so that the blocks of what is left are even and at most `most`. */
V16_INLINE int next_rows(int left, int most)
{
    const int blocks = (left + most - 1) / most;
    return (left + blocks - 1) / blocks;
}

/* Blocks of `wide` vectors that so many vectors are cut into; the rest go one by one. */
V16_INLINE int blocks_of(int vectors, int wide)
{
    return vectors / wide + vectors % wide;
}

/* Calls BLOCK(rows, vectors) with constants for a block of 1 .. 6 rows. */
#define BY_ROWS(rows_now, BLOCK, VECTORS)                                                                    \
    switch (rows_now) {                                                                                      \
    case 1:                                                                                                  \
        BLOCK(1, VECTORS(1));                                                                                \
        break;                                                                                               \
    case 2:                                                                                                  \
        BLOCK(2, VECTORS(2));                                                                                \
        break;                                                                                               \
    case 3:                                                                                                  \
        BLOCK(3, VECTORS(3));                                                                                \
        break;                                                                                               \
    case 4:                                                                                                  \
        BLOCK(4, VECTORS(4));                                                                                \
        break;                                                                                               \
    case 5:                                                                                                  \
        BLOCK(5, VECTORS(5));                                                                                \
        break;                                                                                               \
    default:                                                                                                 \
        BLOCK(6, VECTORS(6));                                                                                \
        break;                                                                                               \
    }

#endif
