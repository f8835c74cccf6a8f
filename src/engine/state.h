/* The inside of the engine.
 *
 * A job is a request that was submitted; its choices are what runs. One mutex guards everything here but what
 * belongs to the step alone while it computes: the session, and of running jobs the text and what was drawn.
 *
 *     engine.c    its making, tenants, statistics       step.c      the step: all of the following in turn
 *     request.c   jobs: checking, their making and end  admit.c     which jobs start, and what for
 *     events.c    what jobs have to say                 schedule.c  which rows a step has
 *     prefix.c    the tree of cached beginnings         memory.c    claims, eviction, preemption
 *     sample.c    a token from logits                   checkpoint.c  beginnings that are left in the tree
 *     draft.c     guesses at tokens to come             lookup.c      where they come from
 *     spill.c     preempted choices on disk
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_ENGINE_STATE_H
#define MQA_ENGINE_STATE_H

#include <pthread.h>

#include "engine/prefix.h"
#include "mqa/engine.h"

typedef struct mqa_tenant mqa_tenant;
typedef struct mqa_job mqa_job;
typedef struct mqa_choice mqa_choice;
typedef struct mqa_spilled mqa_spilled; /* a choice's sequence on disk */

/* ---- choices ---- */

typedef enum mqa_choice_state {
    MQA_CHOICE_WAITING = 0, /* for its job to start; from the second one on, for the first's prompt */
    MQA_CHOICE_RUNNING,     /* has a sequence */
    MQA_CHOICE_PREEMPTED,   /* had one */
    MQA_CHOICE_DONE
} mqa_choice_state;

/* Tokens and how often each was there, ascending. */
typedef struct mqa_token_count {
    int32_t token, n;
} mqa_token_count;
typedef struct mqa_token_counts {
    mqa_token_count *at;
    int n, capacity;
} mqa_token_counts;

/* What a choice's guesses came to, by how long the match was that they were found by. */
enum { MQA_DRAFT_KINDS = 3 };
typedef struct mqa_drafting {
    float chance[MQA_DRAFT_KINDS]; /* of a guess to hold, those before it holding: a running mean */
    int kind;                      /* of the guess that is being checked */
    int passed, pause;             /* tokens since there was a guess that wasn't made; and until one is */
} mqa_drafting;

enum { MQA_MAX_MARKS = 16, MQA_LEAST_PART = 64, MQA_MOST_DRAFTS = 63 };

struct mqa_choice {
    mqa_job *job;
    int index;
    mqa_choice_state state;
    mqa_finish finish;
    int32_t *text; /* prompt and what was generated */
    int64_t n_text, capacity;
    int sequence;                 /* of the session; -1: none */
    int64_t length;               /* tokens in it: text[length ..) is to be computed */
    mqa_token_counts counts;      /* of those generated, where penalties want them */
    int64_t marks[MQA_MAX_MARKS]; /* lengths at which to leave a checkpoint */
    int n_marks;
    mqa_drafting drafting;
    mqa_spilled *spilled; /* while it is preempted; NULL: it will be computed */
    /* Of the step: */
    int64_t part;  /* tokens it computes */
    int n_drafts;  /* of these, guesses: text[n_text ..). Its sequence is so much longer than length */
    float *logits; /* where its text ends in this step, else NULL; the next row is the first guess's */
    /* What was drawn from them: */
    mqa_status status;
    int32_t token;
    float logprob;
    int n_top;
    mqa_token_logprob top[MQA_MAX_TOP_LOGPROBS];
    mqa_error error;
};

/* ---- jobs ---- */

typedef struct mqa_event_record {
    mqa_event_kind kind;
    int choice;
    int32_t token;
    int64_t position;
    float logprob;
    int n_top;
    mqa_token_logprob *top; /* [n_top] */
    mqa_finish finish;
    mqa_status status;
    char *message; /* NULL: none */
} mqa_event_record;

struct mqa_job {
    uint64_t id;
    mqa_tenant *tenant;       /* NULL when it is over */
    mqa_job *next, *previous; /* among the tenant's that wait, or the engine's that run */
    mqa_job *same_hash;
    mqa_request request; /* its pointers are the job's own */
    int64_t n_prompt, max_tokens;
    mqa_choice *choices; /* [n_choices] */
    int n_choices;
    bool pin; /* no answer: its beginning is to be pinned */
    bool started, over, cancelled, closed;
    bool prompt_done;           /* the first choice's, once: the others are there from then on */
    bool notify;                /* has events that on_events wasn't called for */
    bool blocked;               /* it was tried, and there wasn't room for it in the engine's budget */
    int overtaken;              /* by later jobs since then */
    mqa_token_counts in_prompt; /* where the repetition penalty wants them */
    double submitted, started_at, first_token_at, ended_at;
    int64_t cached_tokens, generated_tokens;
    mqa_event_record *events; /* a ring */
    int64_t first_event, n_events, events_capacity;
    pthread_cond_t arrived;
    int pollers;
};

typedef struct mqa_job_list {
    mqa_job *first, *last;
} mqa_job_list;

/* A beginning that stays. */
typedef struct mqa_pin {
    struct mqa_pin *next;
    uint64_t id;
    mqa_prefix_node *node;
    size_t window_bytes;
} mqa_pin;

/* ---- tenants ---- */

typedef struct mqa_counters {
    uint64_t submitted, refused, finished, cancelled, expired, failed, preempted;
    uint64_t prompt_tokens, cached_tokens, generated_tokens;
} mqa_counters;

struct mqa_tenant {
    mqa_tenant *next;
    char name[MQA_TENANT_NAME];
    mqa_tenant_options options;
    bool changed, removed;
    mqa_account *account; /* made by the step, which alone touches accounts */
    mqa_prefix_tree tree;
    mqa_job_list waiting; /* by priority, then age */
    int n_waiting, n_running, n_checkpoints;
    int64_t deficit; /* rows of prompts that it may have before its turn is over */
    mqa_counters counters;
    mqa_account_usage usage; /* as of the last step */
    size_t reserved;
    size_t bytes_spilled;
};

/* ---- spilling ---- */

typedef struct mqa_spill {
    char *folder;                       /* NULL: nothing is spilled */
    size_t limit;                       /* of stats.bytes_spilled */
    double write_seconds, read_seconds; /* of a byte: running means */
} mqa_spill;

/* ---- the engine ---- */

enum { MQA_JOB_BUCKETS = 4096 };

struct mqa_engine {
    mqa_model *model;
    mqa_engine_options options; /* no zeroes left */
    mqa_model_info info;
    mqa_session *session;
    int page_tokens;

    pthread_mutex_t lock;
    pthread_cond_t work; /* there may be something for a step */
    bool woken;
    uint64_t last_id;
    mqa_job *jobs[MQA_JOB_BUCKETS]; /* by id: those whose END nobody took */
    int n_jobs;
    mqa_tenant *tenants;    /* the first one is "" */
    mqa_tenant *turn;       /* whose prompts come first in the next step */
    mqa_tenant *admit_turn; /* and whose jobs are tried first */
    mqa_job_list running;
    int n_running, n_choices; /* choices: of running jobs, not done */

    mqa_prefix_tree pinned_tree;
    mqa_pin *pins;
    mqa_account *pin_account;
    size_t pinned_bytes; /* as of the last step */
    mqa_prefix_lru lru;  /* checkpoints of all trees that may be evicted */
    mqa_spill spill;

    /* The step's: */
    mqa_choice **batch; /* [max_running] */
    mqa_eval_item *items;
    int n_batch;
    int n_drafts;  /* in the batch */
    float *logits; /* [logits_rows][n_vocab] */
    int logits_rows;
    mqa_choice **drawing;   /* [max_running + MQA_MAX_CHOICES] */
    unsigned char *scratch; /* for each thread: mqa_sample's, and a mask */
    size_t scratch_bytes;
    uint64_t *notify;
    int n_notify, notify_capacity;
    double row_seconds;   /* of a prompt's row, a running mean */
    double draft_seconds; /* of a guess's, likewise */
    mqa_engine_stats stats;
};

static inline double mqa_engine_now(const mqa_engine *engine)
{
    return engine->options.now(engine->options.now_user);
}

/* Tokens of a choice's sequence in the end: the last one that is drawn isn't computed. */
static inline int64_t mqa_job_longest(const mqa_job *job)
{
    return job->n_prompt + job->max_tokens - 1;
}

static inline int64_t mqa_choice_generated(const mqa_choice *choice)
{
    return choice->n_text - choice->job->n_prompt;
}

/* One row, and a token comes of it. */
static inline bool mqa_choice_decodes(const mqa_choice *choice)
{
    return mqa_choice_generated(choice) > 0 && choice->length == choice->n_text - 1;
}

/* What a choice may begin with: the first length tokens of a sequence. */
typedef struct mqa_source {
    int sequence; /* -1: nothing */
    int64_t length;
    mqa_prefix_node *node; /* where it is a checkpoint */
    int64_t matched;       /* tokens that the tenant's tree has, checkpoint or not */
} mqa_source;

static inline void mqa_average(double *mean, double value)
{
    *mean = *mean > 0 ? *mean + 0.125 * (value - *mean) : value;
}

/* ---- engine.c ---- */

mqa_tenant *mqa_tenant_find(const mqa_engine *engine, const char *name); /* NULL: there is none */

/* ---- request.c ---- */

/* The request's copy, not in any list. The request was checked. */
mqa_status mqa_job_create(const mqa_engine *engine, const mqa_request *request, bool pin, mqa_job **out,
                          mqa_error *err);
/* Calls the mask's release, if that wasn't done. */
void mqa_job_destroy(mqa_job *job);
mqa_job *mqa_job_find(const mqa_engine *engine, uint64_t id);
void mqa_job_forget(mqa_engine *engine, mqa_job *job); /* its id; frees it once nobody polls it */
void mqa_list_append(mqa_job_list *list, mqa_job *job);
void mqa_list_remove(mqa_job_list *list, mqa_job *job);
/* Room for n tokens behind its text. */
mqa_status mqa_choice_reserve(mqa_choice *choice, int64_t n, mqa_error *err);
mqa_status mqa_choice_append(mqa_choice *choice, int32_t token, mqa_error *err);
/* Whether the token is a stop token of the job or an end token, and ends its choices. */
bool mqa_job_ends_with(const mqa_engine *engine, const mqa_job *job, int32_t token);
/* A choice ends: its FINISH event. Its sequence, if any, stays as a beginning where keep; else goes. */
void mqa_choice_end(mqa_engine *engine, mqa_choice *choice, mqa_finish finish, mqa_status status,
                    const char *message, int32_t token);
/* A job ends, with all of its choices that haven't. */
void mqa_job_end(mqa_engine *engine, mqa_job *job, mqa_finish finish, mqa_status status, const char *message);
/* Where all of its choices are done, it ends. */
void mqa_job_end_if_done(mqa_engine *engine, mqa_job *job);

/* ---- events.c ---- */

void mqa_cond_init(pthread_cond_t *cond); /* by the steady clock */
/* Room for n more, so that as many puts can't fail. */
mqa_status mqa_events_reserve(mqa_job *job, int64_t n, mqa_error *err);
void mqa_events_put(mqa_job *job, const mqa_event_record *record);
void mqa_events_free(mqa_job *job);

/* Whether it takes up beginnings of others and leaves its own. */
static inline bool mqa_job_shares(const mqa_engine *engine, const mqa_job *job)
{
    return !engine->options.no_prefix_cache && !job->request.no_cache && !job->pin;
}

/* ---- memory.c ---- */

/* Tokens of its sequence that are to be had before it runs: all, or under OVERCOMMIT those it has text for.
 */
int64_t mqa_choice_longest(const mqa_engine *engine, const mqa_choice *choice);
/* What a choice may take in addition to what its global layers hold, and all that its windows may. */
size_t mqa_choice_claim(const mqa_engine *engine, const mqa_choice *choice);
/* Bytes that running choices have and may come to, charged to the tenant; NULL: to the engine. At most the
 * budget, where it was kept to: the rest of what is in use can be evicted. */
size_t mqa_claims(mqa_engine *engine, const mqa_tenant *tenant);
/* Its two parts: what the account's global layers have in use that isn't kept only, and what a job's choices
 * claim. */
size_t mqa_held(const mqa_account *account);
size_t mqa_job_claims(const mqa_engine *engine, const mqa_job *job);
size_t mqa_tenant_budget(const mqa_engine *engine, const mqa_tenant *tenant);
mqa_account_usage mqa_usage_of(const mqa_account *account);
/* Of the least recently used checkpoints that are charged to the account (NULL: any), one goes, but not
 * `except`. false: there is none. */
bool mqa_evict_one(mqa_engine *engine, const mqa_account *account, const mqa_prefix_node *except);
void mqa_drop_checkpoint(mqa_engine *engine, mqa_prefix_node *node);
void mqa_drop_tree(mqa_engine *engine, mqa_prefix_tree *tree); /* all of its checkpoints */
/* A new sequence charged to the tenant; evicts for a number. -1: there is none. */
int mqa_open_sequence(mqa_engine *engine, mqa_account *account, const mqa_prefix_node *except);
/* Makes the batch fit the budgets: by eviction, then by preemption, which takes choices out of it. */
mqa_status mqa_make_room(mqa_engine *engine, mqa_error *err);
void mqa_close_sequence(mqa_engine *engine, mqa_choice *choice);

/* ---- checkpoint.c ---- */

/* A checkpoint is wanted when the choice passes length. */
void mqa_mark(mqa_choice *choice, int64_t length);
/* Where the first checkpoint at or before `length` tokens of a prompt that both have would be left. */
int64_t mqa_mark_for(const mqa_engine *engine, const mqa_choice *choice, int64_t length);
/* Leaves those due after the part that began at `begin`. */
void mqa_leave_checkpoints(mqa_engine *engine, mqa_choice *choice, int64_t begin);
/* The choice's sequence itself becomes one. */
void mqa_keep_answer(mqa_engine *engine, mqa_choice *choice);

/* ---- spill.c ---- */

/* By the options; what others left in the folder goes. */
mqa_status mqa_spill_create(mqa_engine *engine, mqa_error *err);
void mqa_spill_destroy(mqa_engine *engine); /* after the choices */
/* A running choice's sequence to disk; NULL: it isn't worth it, or can't be done. The engine's lock is let go
 * meanwhile, as while a step computes. */
mqa_spilled *mqa_spill_out(mqa_engine *engine, const mqa_choice *choice);
/* Into an empty sequence what was spilled of the choice, if reading it is worth it; whole pages of the source
 * are shared with it. Tokens that the sequence then has; 0: they are to be computed; -1: no room beside the
 * source. What was spilled is gone, but for -1. The lock is let go meanwhile. */
int64_t mqa_spill_in(mqa_engine *engine, mqa_choice *choice, int sequence, const mqa_account *account,
                     const mqa_source *from);
/* Nothing where nothing is spilled. */
void mqa_spill_drop(mqa_engine *engine, mqa_choice *choice);

/* ---- admit.c ---- */

/* Tokens of its text that it could begin with now, if it hadn't a sequence of its own. */
int64_t mqa_choice_cached(mqa_engine *engine, const mqa_choice *choice);

void mqa_admit(mqa_engine *engine);
/* After the first choice's prompt: the others fork from it. */
void mqa_fork_choices(mqa_engine *engine, mqa_job *job);

/* ---- schedule.c ---- */

/* Fills batch, part of each choice in it, and n_drafts. Returns rows of prompts; *decodes: of choices that
 * generate, without guesses. */
int mqa_schedule(mqa_engine *engine, int *decodes);
/* The tenant had so many rows out of turn. */
void mqa_charge_turn(mqa_tenant *tenant, int rows);
/* A step took so long. */
void mqa_learn(mqa_engine *engine, double seconds, int prompt_rows, int decodes, int drafts);

/* ---- draft.c ---- */

void mqa_drafting_init(mqa_drafting *drafting);
/* Adds guesses to the batch, in which there are only choices that generate: rows for up to `most` tokens. */
void mqa_add_drafts(mqa_engine *engine, int most);
/* What such a row takes, by what steps with them took; before there was one, a quarter of a step. */
double mqa_draft_seconds(const mqa_engine *engine);
/* Takes a choice's guesses back before they are computed; whether there were any. */
bool mqa_drop_drafts(mqa_engine *engine, mqa_choice *choice);
/* The choice has drawn, and nothing has been done about it yet. goes_on: it isn't over with that. Whether the
 * next row's logits are those of the text with that token: its guess held. If not, the others are undone. */
bool mqa_check_draft(mqa_engine *engine, mqa_choice *choice, bool goes_on);

/* ---- sample.c ---- */

bool mqa_count_token(mqa_token_counts *counts, int32_t token); /* false: no memory */
/* Draws for choices[0..n) from their logits, on all threads. */
void mqa_draw(mqa_engine *engine, mqa_choice **choices, int n);
size_t mqa_draw_scratch_bytes(int n_vocab); /* for each thread */

#endif
