/* What was written, as text and as libxml2 reads it.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>

void document_open(document *d)
{
    *d = (document){0};
    d->stream = open_memstream(&d->text, &d->n);
    assert_non_null(d->stream);
}

void document_read(document *d)
{
    assert_int_equal(fclose(d->stream), 0);
    d->xml = xmlReadMemory(d->text, (int)d->n, "document", "UTF-8", XML_PARSE_NONET | XML_PARSE_HUGE);
    if (!d->xml) printf("%.*s\n", d->n < 4000 ? (int)d->n : 4000, d->text);
    assert_non_null(d->xml);
}

void document_free(document *d)
{
    xmlFreeDoc(d->xml);
    free(d->text);
    *d = (document){0};
}

static xmlXPathObject *find(const document *d, const char *xpath)
{
    xmlXPathContext *context = xmlXPathNewContext(d->xml);
    xmlXPathRegisterNs(context, BAD_CAST "s", BAD_CAST "http://www.w3.org/2000/svg");
    xmlXPathRegisterNs(context, BAD_CAST "h", BAD_CAST "http://www.w3.org/1999/xhtml");
    xmlXPathObject *found = xmlXPathEvalExpression(BAD_CAST xpath, context);
    xmlXPathFreeContext(context);
    assert_non_null(found);
    return found;
}

int document_count(const document *d, const char *xpath)
{
    xmlXPathObject *found = find(d, xpath);
    const int n = found->nodesetval ? found->nodesetval->nodeNr : 0;
    xmlXPathFreeObject(found);
    return n;
}

char *document_text(const document *d, const char *xpath)
{
    xmlXPathObject *found = find(d, xpath);
    char *text = NULL;
    if (found->nodesetval && found->nodesetval->nodeNr)
        text = (char *)xmlNodeGetContent(found->nodesetval->nodeTab[0]);
    xmlXPathFreeObject(found);
    return text;
}
