// Package record is the one form of a message on its way: the bytes that a publisher
// makes of it are kept in its publish store, go to a server, stand in the journals of
// both instances and come to subscribers unchanged. The records by which a journal
// leaves numbers out have the same form.
//
// # Bytes
//
// A record is a header, and unless it is gone or elsewhere a content. Numbers are little endian.
//
//	 0  1  kind (0x10 to 0x14)
//	 1  1  flags: the fields that follow in the header
//	 2  2  length of the header: where the content begins
//	 4  4  sum of the content: its CRC-32C; of none 0
//	 8  8  publisher
//	16  8  sequence, from 1 to 2^63-1
//	24     fields, in this order
//
//	flag  0x01  predecessor  8 bytes, below sequence-1: the record stands for what is
//	                         between, and for sequence; not in a message, nor in an
//	                         empty one. Without it the predecessor is sequence-1.
//	      0x02  check        16 bytes, of the publisher (package bookmark)
//	      0x04  running CRC  4 bytes, of a gone record
//	      0x08  cause        1 byte, of a gone record: 1 let go, 2 lost, 3 closed; without it: removed
//	      0x10  reason       2 bytes length, bytes; of a tombstone, or a gone record
//	      0x20  user         2 bytes length, bytes; of a message
//
// The content is what a message says. It is the same on every instance, and its sum
// tells whether two messages of one identity say the same (R11):
//
//	 0  1  flags
//	 1  2  length of the topic
//	 3     topic, then fields, in this order, then the body, to the end of the record
//
//	flag  0x01  delta publish   (nothing follows)
//	      0x02  correlation id  2 bytes length, bytes
//	      0x04  SOW key         2 bytes length, bytes
//	      0x08  expiration      4 bytes, seconds
//
// A flag is set exactly if its field is not empty or zero, so a Record has one form. An
// unknown kind or flag is an error: a later version that has others says so in what
// holds its records, a file's header or a logon, before one of them is looked at.
//
// A record does not say how long it is; whatever holds it does. Its sum is over the
// content alone, so that it can be made once, by the publisher: where the header may be
// damaged as well it needs a sum of its own, as that of a log's frame.
package record
