/* SPDX-License-Identifier: Apache-2.0 */
#include "args.h"

#include <errno.h>
#include <math.h>
#include <popt.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

/* popt owns the remaining words, we own the values of options: both live until cli_args_free. */
static poptContext parser;
static char **kept;
static size_t n_kept;

void cli_args_free(void)
{
    for (size_t i = 0; i < n_kept; i++) free(kept[i]);
    free(kept);
    kept = NULL;
    n_kept = 0;
    if (parser) parser = poptFreeContext(parser);
}

static bool keep(char *text)
{
    char **grown = realloc(kept, (n_kept + 1) * sizeof *kept);
    if (!grown) {
        free(text);
        return false;
    }
    kept = grown;
    kept[n_kept++] = text;
    return true;
}

/* strtoll and strtod skip blanks in front; we don't. */
static bool starts_number(const char *text)
{
    if (*text == '-' || *text == '+') text++;
    return (*text >= '0' && *text <= '9') || *text == '.';
}

bool cli_parse_int(const char *text, int64_t *out)
{
    if (!starts_number(text)) return false;
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || *end || end == text) return false;
    *out = n;
    return true;
}

static bool parse_real(const char *text, double *out)
{
    if (!starts_number(text) || strpbrk(text, "xX")) return false;
    char *end;
    double x = strtod(text, &end);
    if (*end || end == text || !isfinite(x)) return false;
    *out = x;
    return true;
}

static int bad_value(const cli_option *option, const char *text)
{
    const char *dash = option->one_dash ? "-" : "--";
    if (option->kind == CLI_REAL)
        return cli_error(CLI_USAGE, "'%.80s' for %s%s: give a number from %g to %g", text, dash, option->name,
                         option->lo, option->hi);
    if (option->kind == CLI_BYTES)
        return cli_error(CLI_USAGE, "'%.80s' for %s%s: give bytes, as 1500000, 512MiB or 2GiB", text, dash,
                         option->name);
    return cli_error(CLI_USAGE, "'%.80s' for %s%s: give %s from %.0f to %.0f", text, dash, option->name,
                     option->kind == CLI_LIST ? "up to 16 whole numbers with commas between,"
                                              : "a whole number",
                     option->lo, option->hi);
}

static bool in_range(const cli_option *option, int64_t n)
{
    return (double)n >= option->lo && (double)n <= option->hi;
}

static bool parse_list(const cli_option *option, const char *text, cli_list *list)
{
    list->n = 0;
    while (list->n < 16) {
        char item[24];
        size_t n = strcspn(text, ",");
        if (n >= sizeof item) return false;
        memcpy(item, text, n);
        item[n] = 0;
        if (!cli_parse_int(item, &list->at[list->n]) || !in_range(option, list->at[list->n])) return false;
        list->n++;
        if (text[n] == 0) return true;
        text += n + 1;
    }
    return false;
}

static int take_value(const cli_option *option, const char *text)
{
    mqa_error err;
    mqa_kv_type type;
    int64_t n;
    double x;
    size_t bytes;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)option->out = true;
        return CLI_GO_ON;
    case CLI_TEXT:
        *(const char **)option->out = text;
        return CLI_GO_ON;
    case CLI_TEXTS: {
        cli_texts *texts = option->out;
        if (texts->n == sizeof texts->at / sizeof texts->at[0])
            return cli_error(CLI_USAGE, "more than %d times --%s", texts->n, option->name);
        texts->at[texts->n++] = text;
        return CLI_GO_ON;
    }
    case CLI_INT:
        if (!cli_parse_int(text, &n) || !in_range(option, n)) return bad_value(option, text);
        *(int64_t *)option->out = n;
        return CLI_GO_ON;
    case CLI_REAL:
        if (!parse_real(text, &x) || x < option->lo || x > option->hi) return bad_value(option, text);
        *(double *)option->out = x;
        return CLI_GO_ON;
    case CLI_BYTES:
        if (!mqa_bytes_parse(text, &bytes) || (double)bytes < option->lo || (double)bytes > option->hi)
            return bad_value(option, text);
        *(size_t *)option->out = bytes;
        return CLI_GO_ON;
    case CLI_LIST:
        return parse_list(option, text, option->out) ? CLI_GO_ON : bad_value(option, text);
    case CLI_KV:
    case CLI_KV_BOTH:
        if (mqa_kv_type_parse(text, &type, &err) != MQA_OK)
            return cli_error(CLI_USAGE, "%s%s: %s", option->one_dash ? "-" : "--", option->name, err.message);
        ((mqa_kv_type *)option->out)[0] = type;
        if (option->kind == CLI_KV_BOTH) ((mqa_kv_type *)option->out)[1] = type;
        return CLI_GO_ON;
    case CLI_NUMERICS:
        if (strcmp(text, "fast") == 0) {
            *(mqa_numerics *)option->out = MQA_NUMERICS_FAST;
        } else if (strcmp(text, "portable") == 0) {
            *(mqa_numerics *)option->out = MQA_NUMERICS_PORTABLE;
        } else {
            return cli_error(CLI_USAGE, "'%.80s' for --numerics: give fast or portable", text);
        }
        return CLI_GO_ON;
    }
    return CLI_GO_ON;
}

enum { VAL_HELP = 1, VAL_FIRST = 2 };

/* The table in popt's terms; every value comes as text and is checked here, since popt's own numbers take
 * octal and other surprises. */
static int make_popt(const cli_option *table, struct poptOption *out)
{
    int n = 0;
    for (; table[n].name; n++)
        out[n] =
            (struct poptOption){.longName = table[n].name,
                                .shortName = table[n].letter,
                                .argInfo = (table[n].kind == CLI_FLAG ? POPT_ARG_NONE : POPT_ARG_STRING) |
                                           (table[n].one_dash ? POPT_ARGFLAG_ONEDASH : 0u),
                                .val = VAL_FIRST + n,
                                .descrip = table[n].help,
                                .argDescrip = table[n].value};
    out[n] = (struct poptOption){
        .longName = "help", .shortName = 'h', .val = VAL_HELP, .descrip = "this text, on stdout"};
    return n + 1;
}

static int print_help(const char *what)
{
    printf("mqa %s: %s\n\n", cli_command, what);
    poptPrintHelp(parser, stdout, 0);
    return CLI_DONE;
}

static int bad_option(int rc)
{
    const char *option = poptBadOption(parser, POPT_BADOPTION_NOALIAS);
    if (rc == POPT_ERROR_BADOPT)
        return cli_error(CLI_USAGE, "unknown option '%.80s': 'mqa help %s' lists them", option, cli_command);
    if (rc == POPT_ERROR_NOARG)
        return cli_error(CLI_USAGE, "option '%.80s' needs a value: 'mqa help %s' says which", option,
                         cli_command);
    return cli_error(CLI_USAGE, "option '%.80s': %s", option, poptStrerror(rc));
}

int cli_parse(int argc, char **argv, const cli_option *table, const char *what, const char *operand_help,
              int max_operands, const char ***operands, int *n_operands)
{
    static struct poptOption options[CLI_MAX_OPTIONS + 2];
    make_popt(table, options);
    static char name[64];
    snprintf(name, sizeof name, "mqa %s", cli_command);
    argv[0] = name; /* help says "Usage: mqa run" */
    parser = poptGetContext(name, argc, (const char **)argv, options, POPT_CONTEXT_NO_EXEC);
    if (!parser) return cli_error(CLI_FAILED, "no memory for the options");
    char usage[80];
    snprintf(usage, sizeof usage, "[OPTION...]%s%s", operand_help ? " " : "",
             operand_help ? operand_help : "");
    poptSetOtherOptionHelp(parser, usage);

    int rc;
    while ((rc = poptGetNextOpt(parser)) > 0) {
        if (rc == VAL_HELP) return print_help(what);
        const cli_option *option = &table[rc - VAL_FIRST];
        char *text = poptGetOptArg(parser);
        if (text && !keep(text)) return cli_error(CLI_FAILED, "no memory for the options");
        if (!text && option->kind != CLI_FLAG)
            return cli_error(CLI_USAGE, "option '--%s' needs a value: 'mqa help %s' says which", option->name,
                             cli_command);
        int code = take_value(option, text);
        if (code != CLI_GO_ON) return code;
    }
    if (rc < -1) return bad_option(rc);

    const char **rest = poptGetArgs(parser);
    int n = 0;
    while (rest && rest[n]) n++;
    if (n > max_operands)
        return cli_error(CLI_USAGE, "unexpected word '%.80s': 'mqa help %s' shows the usage",
                         rest[max_operands], cli_command);
    if (operands) *operands = rest;
    if (n_operands) *n_operands = n;
    return CLI_GO_ON;
}
