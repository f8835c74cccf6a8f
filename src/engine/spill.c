/* What preempted choices had computed, kept on disk until there is room for them again.
 *
 * Each has a file of its own, without a name: it is gone when closed, whatever ends the process, and nobody
 * else ever sees it. The stepping thread writes and reads, with the engine's lock let go; what a step waits
 * for that is at most about what computing the same tokens would have cost it, since that is the rule: bytes
 * are moved where that is expected to take less time than computing the tokens would, by running means of
 * both. Whatever goes wrong, the tokens are computed.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/unnamed_file.h"
#include "engine/state.h"

/* What is always left on the disk for others, the journal of a server among them. */
static const size_t leave_free = (size_t)256 << 20;
/* Seconds a byte, until there is a measured one: of a slow SSD. */
static const double first_write = 1 / 400e6, first_read = 1 / 800e6;

struct mqa_spilled {
    int fd;
    size_t bytes;
    int64_t length; /* tokens */
};

/* ---- making ready ---- */

mqa_status mqa_spill_create(mqa_engine *engine, mqa_error *err)
{
    mqa_spill *spill = &engine->spill;
    const char *folder = engine->options.spill_dir;
    engine->options.spill_dir = NULL; /* the caller's */
    if (!folder) return MQA_OK;
    *spill = (mqa_spill){
        .limit = engine->options.spill_limit, .write_seconds = first_write, .read_seconds = first_read};
    if (mkdir(folder, S_IRWXU) != 0 && errno != EEXIST)
        return mqa_fail(err, MQA_ERR_IO, "spill_dir %s: can't be made: %s", folder, strerror(errno));
    MQA_TRY(mqa_unnamed_files_clean(folder, err));
    int fd;
    MQA_TRY(mqa_unnamed_file_open(folder, &fd, err));
    close(fd);
    spill->folder = strdup(folder);
    return spill->folder ? MQA_OK : mqa_fail(err, MQA_ERR_OUT_OF_MEMORY, "no memory for a path");
}

void mqa_spill_destroy(mqa_engine *engine)
{
    free(engine->spill.folder);
    engine->spill.folder = NULL;
}

/* ---- whether ---- */

/* seconds: of a byte. What isn't worth it isn't measured either: a mean that once was bad comes back by and
 * by. */
static bool is_worth_it(const mqa_engine *engine, int64_t tokens, size_t bytes, double seconds)
{
    if (tokens <= 0) return false;
    return engine->row_seconds <= 0 || (double)bytes * seconds < (double)tokens * engine->row_seconds;
}

static void forget(double *mean, double first)
{
    if (*mean > first) *mean -= (*mean - first) / 64;
}

static bool has_space(int fd, size_t bytes)
{
    struct statvfs fs;
    size_t there;
    return fstatvfs(fd, &fs) == 0 && (!mqa_mul((size_t)fs.f_bavail, (size_t)fs.f_frsize, &there) ||
                                      (there > leave_free && there - leave_free >= bytes));
}

/* ---- files ---- */

typedef struct writer {
    int fd;
    size_t done;
} writer;

static mqa_status write_next(void *user, const void *bytes, size_t n, mqa_error *err)
{
    writer *w = user;
    MQA_TRY(mqa_file_write_at(w->fd, w->done, bytes, n, err));
    w->done += n;
    return MQA_OK;
}

static mqa_status read_at(void *user, size_t offset, void *bytes, size_t n, mqa_error *err)
{
    return mqa_file_read_at(*(const int *)user, offset, bytes, n, err);
}

/* An image taken for another one's is refused. */
static void make_tag(const mqa_choice *choice, unsigned char tag[MQA_IMAGE_TAG])
{
    const uint64_t numbers[2] = {choice->job->id, (uint64_t)choice->index};
    memset(tag, 0, MQA_IMAGE_TAG);
    memcpy(tag, numbers, sizeof numbers);
}

static bool write_image(const mqa_engine *engine, const mqa_choice *choice, mqa_spilled *out)
{
    unsigned char tag[MQA_IMAGE_TAG];
    make_tag(choice, tag);
    if (mqa_unnamed_file_open(engine->spill.folder, &out->fd, NULL) != MQA_OK) return false;
    writer w = {.fd = out->fd};
    const mqa_image_sink sink = {write_next, &w};
    if (has_space(out->fd, out->bytes) &&
        mqa_session_image_write(engine->session, choice->sequence, tag, &sink, NULL) == MQA_OK)
        return true;
    close(out->fd);
    return false;
}

/* ---- out ---- */

static void count(mqa_engine *engine, const mqa_choice *choice, size_t plus, size_t minus)
{
    size_t *const sums[] = {&engine->stats.bytes_spilled, &choice->job->tenant->bytes_spilled};
    for (int i = 0; i < 2; i++) *sums[i] += plus - minus;
}

mqa_spilled *mqa_spill_out(mqa_engine *engine, const mqa_choice *choice)
{
    mqa_spill *spill = &engine->spill;
    if (!spill->folder || mqa_session_length(engine->session, choice->sequence) != choice->length)
        return NULL;
    const size_t bytes = mqa_session_image_bytes(engine->session, choice->length);
    if (bytes == 0 || bytes > spill->limit - engine->stats.bytes_spilled) return NULL;
    const int64_t tokens = choice->length - mqa_choice_cached(engine, choice);
    if (!is_worth_it(engine, tokens, bytes, spill->write_seconds + spill->read_seconds)) {
        forget(&spill->write_seconds, first_write);
        return NULL;
    }
    mqa_spilled *spilled = calloc(1, sizeof *spilled);
    if (!spilled) return NULL;
    *spilled = (mqa_spilled){.bytes = bytes, .length = choice->length};
    const double begin = mqa_engine_now(engine);
    pthread_mutex_unlock(&engine->lock);
    const bool written = write_image(engine, choice, spilled);
    pthread_mutex_lock(&engine->lock);
    if (!written) {
        engine->stats.spill_errors++;
        free(spilled);
        return NULL;
    }
    mqa_average(&spill->write_seconds, (mqa_engine_now(engine) - begin) / (double)bytes);
    engine->stats.spilled++;
    count(engine, choice, bytes, 0);
    return spilled;
}

void mqa_spill_drop(mqa_engine *engine, mqa_choice *choice)
{
    if (!choice->spilled) return;
    count(engine, choice, 0, choice->spilled->bytes);
    close(choice->spilled->fd);
    free(choice->spilled);
    choice->spilled = NULL;
}

/* ---- and back ---- */

/* As fork_into in admit.c: others' checkpoints go for it. */
static mqa_status read_image(mqa_engine *engine, const mqa_choice *choice, int sequence,
                             const mqa_account *account, const mqa_source *from)
{
    unsigned char tag[MQA_IMAGE_TAG];
    make_tag(choice, tag);
    const mqa_image_source source = {read_at, &choice->spilled->fd};
    for (;;) {
        pthread_mutex_unlock(&engine->lock);
        const mqa_status status = mqa_session_image_read(engine->session, sequence, tag, &source,
                                                         from->sequence, from->length, NULL);
        pthread_mutex_lock(&engine->lock);
        if (status != MQA_ERR_BUDGET) return status;
        if (!mqa_evict_one(engine, account, from->node) && !mqa_evict_one(engine, NULL, from->node))
            return status;
    }
}

/* Of an image of length tokens, what isn't read where the first `shared` are there. */
static size_t shared_bytes(const mqa_engine *engine, int64_t length, int64_t shared)
{
    const int64_t least = shared < length ? shared : length;
    return mqa_session_most_bytes(engine->session, 0, least / engine->page_tokens * engine->page_tokens, 1)
        .bytes;
}

int64_t mqa_spill_in(mqa_engine *engine, mqa_choice *choice, int sequence, const mqa_account *account,
                     const mqa_source *from)
{
    if (!choice->spilled) return 0;
    mqa_spill *spill = &engine->spill;
    const int64_t length = choice->spilled->length;
    const size_t bytes = choice->spilled->bytes - shared_bytes(engine, length, from->length);
    if (!is_worth_it(engine, length - from->length, bytes, spill->read_seconds)) {
        forget(&spill->read_seconds, first_read);
        mqa_spill_drop(engine, choice);
        return 0;
    }
    const double begin = mqa_engine_now(engine);
    const mqa_status status = read_image(engine, choice, sequence, account, from);
    if (status == MQA_ERR_BUDGET && from->length > 0) return -1;
    if (status == MQA_OK) {
        mqa_average(&spill->read_seconds, (mqa_engine_now(engine) - begin) / (double)bytes);
        engine->stats.restored++;
    } else if (status != MQA_ERR_BUDGET) {
        engine->stats.spill_errors++;
    }
    mqa_spill_drop(engine, choice);
    return status == MQA_OK ? length : 0;
}
