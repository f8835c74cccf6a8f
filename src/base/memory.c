/* Aligned, zeroed memory.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Large blocks come straight from the kernel: zero without being touched, so an arena costs only what is
 * used of it. Sanitizers watch the C library's blocks only, so there they come from it. */
static bool from_kernel(const mqa_allocator *allocator, size_t size)
{
    return allocator == NULL && size >= HUGE_PAGE && !SANITIZED;
}

static bool mapped_size(size_t size, size_t *out)
{
    if (!mqa_add(size, HUGE_PAGE - 1, out)) return false;
    *out &= ~(HUGE_PAGE - 1);
    return true;
}

static void *map_huge(size_t size)
{
    size_t mapped, asked;
    if (!mapped_size(size, &mapped) || !mqa_add(mapped, HUGE_PAGE, &asked)) return NULL;
    char *base =
        mmap(NULL, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) return NULL;
    const size_t head = -(uintptr_t)base & (HUGE_PAGE - 1);
    if (head) munmap(base, head);
    munmap(base + head + mapped, HUGE_PAGE - head);
    madvise(base + head, mapped, MADV_HUGEPAGE); /* a wish: without it all works, slower */
    return base + head;
}

void *mqa_alloc(const mqa_allocator *allocator, size_t size)
{
    if (size == 0 || size > PTRDIFF_MAX) return NULL;
    if (from_kernel(allocator, size)) return map_huge(size);
    const size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : MQA_CACHE_LINE;
    void *ptr = NULL;
    if (allocator)
        ptr = allocator->alloc(allocator->user, size, alignment);
    else if (posix_memalign(&ptr, alignment, size) != 0)
        ptr = NULL;
    return ptr ? memset(ptr, 0, size) : NULL;
}

void *mqa_alloc_array(const mqa_allocator *allocator, size_t n, size_t size)
{
    size_t total;
    return mqa_mul(n, size, &total) ? mqa_alloc(allocator, total) : NULL;
}

void mqa_release(const mqa_allocator *allocator, void *ptr, size_t size)
{
    size_t mapped;
    if (ptr == NULL) return;
    if (allocator)
        allocator->free(allocator->user, ptr, size);
    else if (from_kernel(allocator, size) && mapped_size(size, &mapped))
        munmap(ptr, mapped);
    else
        free(ptr);
}
