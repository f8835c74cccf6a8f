/* The engine: many requests of many tenants on one model, under byte budgets that are never passed, each with
 * the answer it would have alone, to the bit.
 *
 * A request is a prompt in tokens and how to continue it; it has n choices, which are continuations of their
 * own. The engine computes in steps: a row for every choice that is generating and pieces of the prompts that
 * are still to be read go through the model together. What a request gets is tokens; text, templates and stop
 * strings are its caller's.
 *
 *     mqa_engine_create(model, &options, &engine, &err);
 *     mqa_engine_submit(engine, &request, &submission, &err);          any thread
 *     while (mqa_engine_step(engine, &busy, &err) == MQA_OK)           one thread
 *         if (!busy) mqa_engine_wait(engine, 1);
 *     mqa_engine_poll(engine, submission.id, 0.1, &event, &got, &err); any thread
 *
 * Determinism. A choice's tokens depend on the prompt, the request's parameters, the choice's number, the
 * model, the cache formats and the numerics; on nothing else that is served, on no budget, cache, chunk,
 * deadline or preemption (docs/numerics.md, the row contract; section 7 for sampling). What a deadline or a
 * cancellation cuts off is a beginning of the same answer.
 *
 * Budgets. All KV pages are charged to their tenant's account, and through it to the engine's; the allocator
 * passes neither budget. Two ways to let requests in:
 *
 *   RESERVE     a request starts when its worst case (its prompt, max_tokens and the rings of window layers,
 *               for each choice; less what of it is in use by others already) is to be had. Until then it
 *               waits. What was started always finishes.
 *   OVERCOMMIT  a request starts when there is room for its prompt. When a step would pass a budget, choices
 *               are preempted, of a lower priority and then the latest submitted first, of the tenant that is
 *               most over its share: their pages are given back, and computed again later from prompt and
 *               tokens so far, or read back from disk (Spilling). The earliest choice is never preempted, so
 *               all finish.
 *
 * Either refuses at once what could never fit.
 *
 * Spilling. With a spill_dir, what a preempted choice had computed is written to a file there before its
 * pages are given back, and read back when there is room again. That is done where writing and reading the
 * bytes is expected to take less time than computing the tokens that aren't in the prefix cache, by running
 * means of what a prompt's row, a byte written and a byte read took (at first: worth it), where spill_limit
 * has room for all of it, and where 256 MiB stay free on the disk. Pages that other choices still have or
 * that are cached aren't read. Neither that nor anything that goes wrong with the disk changes an answer:
 * what can't be written, or isn't the same when it is read (every byte is checked), is computed. The stepping
 * thread moves the bytes, before its step computes, and holds up nobody else; the rule bounds what it costs a
 * step. Files have mode 0600 and no name where the file system can do without (names, mqa-unnamed.*, last an
 * instant elsewhere; what a killed process left of these is removed by create): with the process they are
 * gone. They hold what prompts are to the model, as it is: choose a disk that may.
 *
 * Prefix cache. Beginnings that were computed are kept in pages that are in use anyway or that nobody else
 * needs at the moment, each tenant's for itself, since a cache shared by all tells one what another asked.
 * What an operator pins is there for all. They are found by tokens (a radix tree) and shared by pages. In
 * models with window layers, where pages behind the window are gone, a beginning can be taken up only where a
 * checkpoint was left: at the ends of prompts and answers, every checkpoint_tokens tokens, and where prompts
 * have been seen to part. A request whose beginning is being computed for another one waits for that. The
 * least recently used go first when somebody needs the memory; never what is in use.
 *
 * Fairness. Generating choices have a row in every step. What is left goes to prompts, tenants taking turns
 * by tokens (deficit round robin, by weight), in a tenant by priority and then age; while choices are
 * generating it is kept so small that a step takes about step_seconds.
 *
 * Guesses (speculative decoding). Where the last tokens of a choice's text were in it before, what followed
 * them is a guess at what comes next, and is checked in rows of the same step: each token is drawn as ever,
 * and as long as it is the one guessed, the row after it counts. So a step may give a choice several tokens,
 * the same as without. How many are guessed follows from how many held so far and from what a row takes.
 *
 * Threads. create and destroy run alone. step and wait belong to one thread at a time, which is also the only
 * one to use the model's context meanwhile. Everything else may be called from any thread, and returns
 * without waiting for a step.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ENGINE_H
#define MQA_ENGINE_H

#include "mqa/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mqa_engine mqa_engine;

/* ---- making one ---- */

typedef enum mqa_admission { MQA_ADMISSION_RESERVE = 0, MQA_ADMISSION_OVERCOMMIT = 1 } mqa_admission;
MQA_API const char *mqa_admission_name(mqa_admission admission); /* "reserve", "overcommit" */
MQA_API mqa_status mqa_admission_parse(const char *name, mqa_admission *out, mqa_error *err);

typedef struct mqa_engine_options {
    size_t struct_size;     /* sizeof(mqa_engine_options): set by mqa_engine_options_default */
    size_t kv_budget_bytes; /* of KV pages, for all tenants together; 0: 2 GiB */
    mqa_admission admission;
    int64_t context;  /* tokens of a prompt and one answer to it at most; 0: the model's context_length */
    int chunk;        /* rows of a step at most; 0: 512 */
    int max_running;  /* choices that run at once at most, up to chunk; 0: 64. Each may take n_vocab floats */
    int max_requests; /* that wait, run or have events nobody took; more are refused. 0: 4096 */
    int max_checkpoints;        /* of the prefix cache; 0: 1024 */
    mqa_kv_type k_type, v_type; /* bf16 */
    bool kv_plain;              /* as in mqa_session_options */
    bool no_prefix_cache;
    int64_t checkpoint_tokens; /* see above; 0: 2048 */
    double step_seconds;       /* what a step should take while choices generate; 0: 1.75 times what it takes
                                  without any prompt */
    /* Called by the stepping thread at the end of a step for each request that has new events. It may call
     * everything but step, wait and destroy. NULL: none. */
    void (*on_events)(void *user, uint64_t request);
    void *on_events_user;
    double (*now)(void *user); /* seconds, never going back; NULL: the system's steady clock. For tests */
    void *now_user;
    int draft_max; /* tokens that a step guesses at most, see above: 0 (none) to 63, default 16. Each may take
                      n_vocab floats */
    const char *spill_dir; /* under OVERCOMMIT: a folder for what is preempted, made where there is none, in
                              one that is there; NULL: it is computed again */
    size_t spill_limit;    /* bytes there at most; 0: kv_budget_bytes */
} mqa_engine_options;

MQA_API void mqa_engine_options_init(mqa_engine_options *out, size_t struct_size);
static inline mqa_engine_options mqa_engine_options_default(void)
{
    mqa_engine_options out;
    mqa_engine_options_init(&out, sizeof out);
    return out;
}

/* The model must outlive the engine and its context serve nothing else meanwhile. */
MQA_API mqa_status mqa_engine_create(mqa_model *model, const mqa_engine_options *options, mqa_engine **out,
                                     mqa_error *err);
/* Requests end without further events. Sets *engine to NULL. */
MQA_API void mqa_engine_destroy(mqa_engine **engine);

MQA_API const char *mqa_engine_recipe(const mqa_engine *engine); /* as mqa_session_recipe */
MQA_API int64_t mqa_engine_context(const mqa_engine *engine);    /* tokens */

/* ---- tenants ---- */

#define MQA_TENANT_NAME 64 /* bytes of a name, its 0 included */

typedef struct mqa_tenant_options {
    size_t struct_size;  /* sizeof(mqa_tenant_options) */
    size_t budget_bytes; /* of KV pages, its share of the prefix cache included; 0: the engine's */
    int weight;          /* of its turns at prompt rows, 1 to 1000; 0: 1 */
    int max_waiting;     /* its requests that wait at most; more are refused. 0: only max_requests counts */
    int priority;        /* its requests start before those of tenants with less, while there is room; 0 */
} mqa_tenant_options;

/* Makes a tenant or changes it, from the next step on. Less budget than is in use: nothing is taken away but
 * cached beginnings, and nothing new starts until it fits; what then could never fit ends with
 * MQA_ERR_BUDGET. The name is any non-empty string of less than
 * MQA_TENANT_NAME bytes. A tenant "" is always there, for callers that need none. */
MQA_API mqa_status mqa_engine_tenant_set(mqa_engine *engine, const char *name,
                                         const mqa_tenant_options *options, mqa_error *err);
/* Its waiting and running requests are cancelled, its cached beginnings given back in the next step.
 * MQA_ERR_NOT_FOUND. */
MQA_API mqa_status mqa_engine_tenant_remove(mqa_engine *engine, const char *name, mqa_error *err);

/* ---- requests ---- */

#define MQA_MAX_TOP_LOGPROBS 20
#define MQA_MAX_CHOICES      128

/* Added to a token's logit. */
typedef struct mqa_logit_bias {
    int32_t token;
    float bias; /* finite, or -inf: never drawn */
} mqa_logit_bias;

/* Which tokens may come next, as a grammar has it. Called during steps, on any thread, one call at a time for
 * each request; a failure ends the choice with that error. Must not call the engine. */
typedef struct mqa_token_mask {
    /* Sets the bits of tokens that may follow in a choice: bit t % 64 of allowed[t / 64], which comes all
     * zeroes, (n_vocab + 63) / 64 words. End and stop tokens are tokens like others here. */
    mqa_status (*fill)(void *user, int choice, uint64_t *allowed, mqa_error *err);
    /* The token that was drawn; end and stop tokens too. NULL: not wanted. */
    mqa_status (*accept)(void *user, int choice, int32_t token, mqa_error *err);
    /* Once, when the request is over and none of the others will be called again; also where submit fails.
     * NULL: not wanted. */
    void (*release)(void *user);
    void *user;
} mqa_token_mask;

typedef struct mqa_request {
    size_t struct_size;    /* sizeof(mqa_request): set by mqa_request_default */
    const char *tenant;    /* NULL: "" */
    const int32_t *prompt; /* copied, as all else that is pointed to */
    int64_t n_prompt;      /* 1 or more */
    int64_t max_tokens;    /* to generate, for each choice; 0: until the context is full */
    int n_choices;         /* 1 .. MQA_MAX_CHOICES and max_running */
    mqa_sampling sampling; /* its choice field isn't looked at: choice i of the request draws as choice i */
    /* docs/numerics.md section 7. Presence and frequency look at the choice's own tokens, repetition (above
     * 0; 1: off) at the prompt's too. */
    float presence_penalty, frequency_penalty, repetition_penalty;
    const mqa_logit_bias *bias; /* at most one for a token */
    int n_bias;
    const int32_t *stop_tokens; /* end a choice, as the tokenizer's end tokens do */
    int n_stop_tokens;
    bool ignore_end;      /* the tokenizer's end tokens are tokens like others */
    bool no_cache;        /* shares no beginning with other requests, nor leaves one */
    int n_logprobs;       /* -1: none; 0 .. MQA_MAX_TOP_LOGPROBS: the token's, and so many of the likeliest */
    int priority;         /* within its tenant: higher first; 0 */
    double wait_seconds;  /* it may wait before it is started; 0: as long as it takes */
    double total_seconds; /* until it ends, with what there is by then; 0: as long as it takes */
    mqa_token_mask mask;  /* fill NULL: every token may come */
} mqa_request;

/* Sampling as in mqa run (temperature 0.8, top_k 40, top_p 0.95, min_p 0.05, seed 0), one choice, no
 * logprobs. */
MQA_API void mqa_request_init(mqa_request *out, size_t struct_size);
static inline mqa_request mqa_request_default(void)
{
    mqa_request out;
    mqa_request_init(&out, sizeof out);
    return out;
}

typedef enum mqa_refusal {
    MQA_REFUSAL_NONE = 0,
    MQA_REFUSAL_INVALID = 1,   /* the request itself is wrong */
    MQA_REFUSAL_TOO_LARGE = 2, /* it could never fit its tenant's budget or the engine's */
    MQA_REFUSAL_BUSY = 3,      /* max_requests or max_waiting: try again later */
    MQA_REFUSAL_TENANT = 4,    /* there is no such tenant */
    MQA_REFUSAL_OTHER = 5      /* no memory */
} mqa_refusal;

typedef struct mqa_submission {
    uint64_t id; /* never 0, never used again; 0 where refused */
    mqa_refusal refusal;
    size_t needed, available; /* bytes: with TOO_LARGE, the worst case and the least of the budgets */
} mqa_submission;

/* Returns at once; out says more than the status (INVALID_ARGUMENT, BUDGET, NOT_FOUND, OUT_OF_MEMORY). */
MQA_API mqa_status mqa_engine_submit(mqa_engine *engine, const mqa_request *request, mqa_submission *out,
                                     mqa_error *err);

/* The worst case of such a request in bytes of KV pages, nothing of it being cached. max_tokens as in
 * mqa_request. 0 for what submit calls invalid. */
MQA_API size_t mqa_engine_request_bytes(const mqa_engine *engine, int64_t n_prompt, int64_t max_tokens,
                                        int n_choices);

/* Ends a request; its pages are given back before the next step computes. Its events stay, and its last one
 * comes. Nothing happens for a request that is over or unknown. */
MQA_API void mqa_engine_cancel(mqa_engine *engine, uint64_t request);
/* The same for who wants no more events, either: the id is unknown from here on. */
MQA_API void mqa_engine_close(mqa_engine *engine, uint64_t request);

/* Pins a beginning for all tenants: computed like a request of the tenant "" as soon as its pages are to be
 * had, then kept until unpinned, charged to the engine's budget alone. Its one event is END; *id is for poll,
 * cancel and unpin. MQA_ERR_BUDGET where it could never fit. Unpin: MQA_ERR_NOT_FOUND. */
MQA_API mqa_status mqa_engine_pin(mqa_engine *engine, const int32_t *tokens, int64_t n_tokens, uint64_t *id,
                                  mqa_error *err);
MQA_API mqa_status mqa_engine_unpin(mqa_engine *engine, uint64_t id, mqa_error *err);

/* ---- events ---- */

typedef enum mqa_event_kind {
    MQA_EVENT_TOKEN = 1,  /* a choice has one more token */
    MQA_EVENT_FINISH = 2, /* a choice is complete */
    MQA_EVENT_END = 3     /* the request is over: its last event, after which the id is unknown */
} mqa_event_kind;

typedef enum mqa_finish {
    MQA_FINISH_NONE = 0,
    MQA_FINISH_STOP = 1,   /* an end or stop token came */
    MQA_FINISH_LENGTH = 2, /* max_tokens, or the context is full */
    MQA_FINISH_CANCELLED = 3,
    MQA_FINISH_DEADLINE = 4, /* wait_seconds or total_seconds are over */
    MQA_FINISH_ERROR = 5     /* status and message say which */
} mqa_finish;

typedef struct mqa_token_logprob {
    int32_t token;
    float logprob;
} mqa_token_logprob;

typedef struct mqa_usage {
    int64_t prompt_tokens, cached_tokens; /* of the prompt's, those that weren't computed for this request */
    int64_t generated_tokens;             /* of all choices: TOKEN events */
    double wait_seconds, first_token_seconds, total_seconds; /* since submit; 0: not come to yet */
} mqa_usage;

typedef struct mqa_event {
    mqa_event_kind kind;
    int choice;
    int32_t token;    /* TOKEN; FINISH by STOP: the one that ended it, which has no TOKEN event; else -1 */
    int64_t position; /* TOKEN: where it stands in the whole text, from n_prompt on */
    /* With n_logprobs >= 0: natural log of its probability by the model alone (temperature 1, before
     * penalties, bias, mask and filters), and the likeliest by that, ties to the lower id. */
    float logprob;
    int n_top;
    mqa_token_logprob top[MQA_MAX_TOP_LOGPROBS];
    mqa_finish finish; /* FINISH, END; of END: the first choice's that wasn't STOP or LENGTH, else the last
                          one's */
    mqa_usage usage;   /* END */
    mqa_status status; /* FINISH, END: MQA_OK, or what went wrong */
    char message[256];
} mqa_event;

/* The next event of a request, in *out, waiting for one up to `seconds`; *got: whether there was one.
 * MQA_ERR_NOT_FOUND for an id that is unknown: after END or close. A choice's events come in order. */
MQA_API mqa_status mqa_engine_poll(mqa_engine *engine, uint64_t request, double seconds, mqa_event *out,
                                   bool *got, mqa_error *err);

/* ---- working ---- */

/* One step: takes in what was submitted and cancelled, starts and ends requests, computes at most chunk rows,
 * draws tokens. *busy: whether anything was computed. What concerns one request is in its events; an error
 * returned here is the engine's (MQA_ERR_OUT_OF_MEMORY, MQA_ERR_INTERNAL), and another step may be tried. */
MQA_API mqa_status mqa_engine_step(mqa_engine *engine, bool *busy, mqa_error *err);
/* Until a step may have something to do (a submission, a cancellation, a deadline), or `seconds` are over, or
 * somebody calls wake. */
MQA_API void mqa_engine_wait(mqa_engine *engine, double seconds);
MQA_API void mqa_engine_wake(mqa_engine *engine);

/* ---- what it is doing ---- */

/* As of the end of the last step, but for waiting, which is of now. Counters begin with the engine. */
typedef struct mqa_engine_stats {
    size_t struct_size;   /* sizeof(mqa_engine_stats): set it before the call */
    int waiting, running; /* requests now */
    int choices;          /* that run */
    int tenants, checkpoints, pinned;
    size_t budget_bytes;   /* KV pages: what there may be, */
    size_t bytes_in_use;   /* what there is, */
    size_t bytes_kept;     /* of which only the prefix cache has, */
    size_t bytes_reserved; /* and what running requests have or may yet come to, under RESERVE */
    size_t bytes_resident; /* memory that pages have, used or not */
    uint64_t submitted, refused;
    uint64_t finished, cancelled, expired, failed; /* requests that are over, each counted in one */
    uint64_t preempted;                            /* choices, each time; */
    uint64_t spilled, restored;                    /* of which to disk; and read back from there */
    uint64_t
        spill_errors;     /* the disk failed, was full, or gave back something else: computed again instead */
    size_t bytes_spilled; /* on disk, of choices that are preempted */
    uint64_t steps, prompt_rows, decode_rows;
    uint64_t prompt_tokens, cached_tokens, generated_tokens; /* of requests started */
    uint64_t evicted;                                        /* checkpoints, for want of memory */
    uint64_t rescued;      /* admitted choices preempted under RESERVE: always 0, or report it */
    double step_seconds;   /* the last step's */
    double decode_seconds; /* a step's without prompts and guesses, a running mean; 0: none yet */
    uint64_t drafted_tokens, accepted_tokens; /* guesses, and those that held */
} mqa_engine_stats;
MQA_API mqa_status mqa_engine_get_stats(mqa_engine *engine, mqa_engine_stats *out, mqa_error *err);

typedef struct mqa_tenant_stats {
    size_t struct_size; /* sizeof(mqa_tenant_stats): set it before the call */
    char name[MQA_TENANT_NAME];
    int waiting, running, checkpoints;
    size_t budget_bytes, bytes_in_use, bytes_kept, bytes_reserved; /* budget 0: the engine's */
    size_t bytes_spilled;
    uint64_t submitted, refused, finished, cancelled, expired, failed, preempted;
    uint64_t prompt_tokens, cached_tokens, generated_tokens;
} mqa_tenant_stats;
/* The tenant at index 0 .. tenants-1, in no order that lasts. MQA_ERR_NOT_FOUND beyond. */
MQA_API mqa_status mqa_engine_get_tenant_stats(mqa_engine *engine, int index, mqa_tenant_stats *out,
                                               mqa_error *err);

#ifdef __cplusplus
}
#endif

#endif
