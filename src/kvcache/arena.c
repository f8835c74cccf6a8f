/* SPDX-License-Identifier: Apache-2.0 */
#include "kvcache/arena.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

static size_t os_page(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* mqa_alloc would touch, and in sanitized builds commit, the whole range: this only reserves it. */
static unsigned char *reserve(size_t size, bool huge)
{
    size_t asked;
    if (!mqa_add(size, HUGE_PAGE, &asked)) return NULL;
    unsigned char *p =
        mmap(NULL, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    const size_t head = -(uintptr_t)p & (HUGE_PAGE - 1);
    if (head) munmap(p, head);
    if (head < HUGE_PAGE) munmap(p + head + size, HUGE_PAGE - head);
    if (huge) madvise(p + head, size, MADV_HUGEPAGE); /* a wish */
    return p + head;
}

mqa_status mqa_arena_create(mqa_arena *arena, const mqa_allocator *allocator, int n_layers,
                            size_t slice_bytes, int64_t max_pages, int64_t limit_pages, mqa_error *err)
{
    *arena = (mqa_arena){.slice_bytes = slice_bytes,
                         .n_layers = n_layers,
                         .allocator = allocator,
                         .max_pages = max_pages,
                         .limit_pages = limit_pages};
    if (!mqa_mul(slice_bytes, (size_t)max_pages, &arena->layer_stride) ||
        !mqa_mul(arena->layer_stride, (size_t)n_layers, &arena->size) ||
        arena->size > PTRDIFF_MAX - 2 * HUGE_PAGE)
        return mqa_fail(err, MQA_ERR_INVALID_ARGUMENT,
                        "cache of %lld pages of %zu bytes in %d layers is beyond any address space",
                        (long long)max_pages, slice_bytes, n_layers);
    arena->size = mqa_round_up(arena->size, os_page());
    /* A layer whose pages don't fill a huge one would only waste it. */
    arena->base = allocator ? allocator->alloc(allocator->user, arena->size, HUGE_PAGE)
                            : reserve(arena->size, arena->layer_stride >= HUGE_PAGE);
    arena->free = mqa_alloc_array(allocator, (size_t)max_pages, sizeof *arena->free);
    arena->pages = mqa_alloc_array(allocator, (size_t)max_pages, sizeof *arena->pages);
    if (!arena->base || !arena->free || !arena->pages) {
        const size_t size = arena->size;
        mqa_arena_destroy(arena);
        return mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "cannot reserve %zu bytes of addresses for a cache",
                        size);
    }
    return MQA_OK;
}

void mqa_arena_destroy(mqa_arena *arena)
{
    if (arena->base && arena->allocator)
        arena->allocator->free(arena->allocator->user, arena->base, arena->size);
    else if (arena->base)
        munmap(arena->base, arena->size);
    mqa_release(arena->allocator, arena->free, (size_t)arena->max_pages * sizeof *arena->free);
    mqa_release(arena->allocator, arena->pages, (size_t)arena->max_pages * sizeof *arena->pages);
    *arena = (mqa_arena){0};
}

static size_t page_bytes(const mqa_arena *arena)
{
    return arena->slice_bytes * (size_t)arena->n_layers;
}

static bool all_kept(const mqa_page *page)
{
    return page->kept > 0 && page->kept == page->holds;
}

/* A page's holders have changed: whether it could be had back is counted anew. */
static void recount(mqa_arena *arena, const mqa_page *page, bool was_kept)
{
    const bool is_kept = all_kept(page);
    if (is_kept && !was_kept) {
        arena->n_kept++;
        mqa_account_add_kept(page->account, arena->account_kind, page_bytes(arena));
    } else if (was_kept && !is_kept) {
        arena->n_kept--;
        mqa_account_sub_kept(page->account, arena->account_kind, page_bytes(arena));
    }
}

int32_t mqa_arena_take(mqa_arena *arena, mqa_account *account, bool kept)
{
    arena->in_use++;
    const bool fresh = arena->n_free == 0;
    const int32_t id = fresh ? (int32_t)arena->n_touched++ : arena->free[--arena->n_free];
    mqa_page *page = &arena->pages[id];
    *page = (mqa_page){.holds = 1, .kept = kept, .account = account};
    mqa_account_charge(account, arena->account_kind, page_bytes(arena));
    recount(arena, page, false);
    if (fresh && !arena->allocator) return id; /* zeros from the operating system */
    for (int layer = 0; layer < arena->n_layers; layer++)
        memset(mqa_arena_slice(arena, layer, id), 0, arena->slice_bytes);
    return id;
}

void mqa_arena_hold(mqa_arena *arena, int32_t id, bool kept)
{
    mqa_page *page = &arena->pages[id];
    const bool was_kept = all_kept(page);
    page->holds++; /* a holder is a sequence: there is no memory for 2^32 of them */
    page->kept += kept;
    recount(arena, page, was_kept);
}

void mqa_arena_give_back(mqa_arena *arena, int32_t id, bool kept)
{
    mqa_page *page = &arena->pages[id];
    const bool was_kept = all_kept(page);
    page->holds--;
    page->kept -= kept;
    recount(arena, page, was_kept);
    if (page->holds > 0) return;
    mqa_account_discharge(page->account, arena->account_kind, page_bytes(arena));
    page->account = NULL;
    arena->in_use--;
    arena->free[arena->n_free++] = id;
}

void mqa_arena_set_kept(mqa_arena *arena, int32_t id, bool kept)
{
    mqa_page *page = &arena->pages[id];
    const bool was_kept = all_kept(page);
    page->kept += kept ? 1 : -1u;
    recount(arena, page, was_kept);
}

int64_t mqa_arena_compact(mqa_arena *arena)
{
    int64_t moved = 0;
    int32_t to = 0;
    for (int32_t from = (int32_t)arena->in_use; from < arena->n_touched; from++) {
        if (arena->pages[from].holds == 0) continue;
        while (arena->pages[to].holds > 0) to++;
        for (int layer = 0; layer < arena->n_layers; layer++)
            memcpy(mqa_arena_slice(arena, layer, to), mqa_arena_slice(arena, layer, from),
                   arena->slice_bytes);
        arena->pages[to] = arena->pages[from];
        arena->pages[from] = (mqa_page){0};
        arena->free[from] = to;
        moved++;
    }
    return moved;
}

/* One layer's slices of ids from in_use on: whole pages of the operating system go back to it, and what is
 * left over at the edges is made zero, since nobody will clear it when those ids are new again. */
typedef struct tail {
    unsigned char *begin, *whole_begin, *whole_end, *end; /* whole_begin > whole_end: there are none */
} tail;

static tail tail_of(const mqa_arena *arena, int layer)
{
    const size_t page = os_page();
    tail t = {.begin = mqa_arena_slice(arena, layer, (int32_t)arena->in_use),
              .end = mqa_arena_slice(arena, layer, 0) + (size_t)arena->n_touched * arena->slice_bytes};
    t.whole_begin = t.begin + (-(uintptr_t)t.begin & (page - 1));
    t.whole_end = t.end - ((uintptr_t)t.end & (page - 1));
    return t;
}

static bool return_tails(const mqa_arena *arena, size_t *bytes)
{
    *bytes = 0;
    for (int layer = 0; layer < arena->n_layers; layer++) {
        const tail t = tail_of(arena, layer);
        if (t.whole_begin >= t.whole_end) continue;
        const size_t size = (size_t)(t.whole_end - t.whole_begin);
        if (madvise(t.whole_begin, size, MADV_DONTNEED) != 0) return false;
        *bytes += size;
    }
    for (int layer = 0; layer < arena->n_layers; layer++) {
        const tail t = tail_of(arena, layer);
        if (t.whole_begin >= t.whole_end) {
            memset(t.begin, 0, (size_t)(t.end - t.begin));
            continue;
        }
        memset(t.begin, 0, (size_t)(t.whole_begin - t.begin));
        memset(t.whole_end, 0, (size_t)(t.end - t.whole_end));
    }
    return true;
}

size_t mqa_arena_trim(mqa_arena *arena)
{
    size_t bytes = 0;
    arena->n_free = 0;
    if (!arena->allocator && return_tails(arena, &bytes)) {
        arena->n_touched = arena->in_use;
        return bytes;
    }
    /* The memory stays (a caller's, or locked); the lowest ids are handed out first. */
    for (int64_t page = arena->n_touched; page-- > arena->in_use;)
        arena->free[arena->n_free++] = (int32_t)page;
    return bytes;
}
