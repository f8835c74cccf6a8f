/* What was written, as text and as libxml2 reads it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_PLOT_DOCUMENT_H
#define MQA_TESTS_PLOT_DOCUMENT_H

#include <libxml/tree.h>
#include <stdio.h>

typedef struct document {
    FILE *stream; /* write here, then call document_read */
    char *text;
    size_t n;
    xmlDoc *xml;
} document;

void document_open(document *d); /* *d must stay where it is */
/* Fails the test where the text isn't well-formed XML. */
void document_read(document *d);
void document_free(document *d);

/* How many elements an XPath finds ("//s:text": s is SVG's namespace, h HTML's). */
int document_count(const document *d, const char *xpath);
/* The text of the first that it finds, to be freed with xmlFree; NULL where there is none. */
char *document_text(const document *d, const char *xpath);

#endif
