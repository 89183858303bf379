/* The ABI's structures as they were published: a member that moves, or a size that changes without a new member at the
 * end, does not compile. Sizes of structures that may grow are those of this version. */
#include <stddef.h>

#include "logdrive.h"

#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#define AT(type, member, offset) _Static_assert(offsetof(type, member) == (offset), #type "." #member)

SIZE(logdrive_attribute, 56);
AT(logdrive_attribute, struct_size, 0);
AT(logdrive_attribute, kind, 4);
AT(logdrive_attribute, name, 8);
AT(logdrive_attribute, name_length, 16);

SIZE(logdrive_callsite, 40);
AT(logdrive_callsite, struct_size, 0);
AT(logdrive_callsite, line, 4);
AT(logdrive_callsite, file, 8);
AT(logdrive_callsite, file_length, 16);
AT(logdrive_callsite, function, 24);
AT(logdrive_callsite, function_length, 32);

SIZE(logdrive_stats, 128);
AT(logdrive_stats, struct_size, 0);
AT(logdrive_stats, arena_used_percent, 4);
AT(logdrive_stats, arena_bytes, 8);
AT(logdrive_stats, accepted, 16);
AT(logdrive_stats, refused, 24);
AT(logdrive_stats, delivered, 32);
AT(logdrive_stats, unconfirmed, 40);
AT(logdrive_stats, dropped, 48);
AT(logdrive_stats, damaged, 56);
AT(logdrive_stats, stored, 64);
AT(logdrive_stats, stored_bytes, 72);
AT(logdrive_stats, bytes_in, 80);
AT(logdrive_stats, bytes_wire, 88);
AT(logdrive_stats, retries, 96);
AT(logdrive_stats, receivers_connected, 104);
AT(logdrive_stats, panics, 112);
AT(logdrive_stats, events_lost, 120);

SIZE(logdrive_event, 32);
AT(logdrive_event, struct_size, 0);
AT(logdrive_event, kind, 4);
AT(logdrive_event, text, 8);
AT(logdrive_event, first_record, 16);
AT(logdrive_event, count, 24);

_Static_assert(LOGDRIVE_ABI_VERSION == 1, "a break of the ABI needs a new version, and new figures here");
