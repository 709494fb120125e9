// Package record defines the encoding of a message. A publisher encodes it once. The same
// bytes are kept in the publish store, sent to a server, logged in the journals of both
// instances, and delivered to subscribers. The records with which a journal leaves numbers
// out have the same encoding.
//
// # Bytes
//
// A record is a header, followed by a content unless its kind is gone or elsewhere. Numbers
// are little-endian.
//
//	 0  1  kind (0x10 to 0x14)
//	 1  1  flags: the fields that follow in the header
//	 2  2  length of the header: where the content begins
//	 4  4  sum of the content: its CRC-32C; 0 without a content
//	 8  8  publisher
//	16  8  sequence, from 1 to 2^63-1
//	24     fields, in this order
//
//	flag  0x01  predecessor  8 bytes, below sequence-1: the record stands for predecessor+1
//	                         to sequence; not in a message, nor in an empty record. Without
//	                         this field the predecessor is sequence-1.
//	      0x02  check        16 bytes, of the publisher (package bookmark)
//	      0x04  running CRC  4 bytes, of a gone record
//	      0x08  cause        1 byte, of a gone record: 1 let go, 2 lost, 3 closed; without
//	                         this field: removed
//	      0x10  reason       2 bytes length, bytes; of a tombstone, or a gone record
//	      0x20  user         2 bytes length, at most 1,024 bytes: the user who published;
//	                         in a gone record that a link makes: the publisher's owner
//
// The content is the message itself. It is the same on every instance. Its sum shows
// whether two messages of one identity have the same content (R11):
//
//	 0  1  flags
//	 1  2  length of the topic
//	 3     topic, then fields, in this order, then the body, to the end of the record
//
//	flag  0x01  delta publish   (nothing follows)
//	      0x02  correlation id  2 bytes length, bytes
//	      0x04  SOW key         2 bytes length, bytes
//	      0x08  expiration      4 bytes, seconds
//	      0x10  headers         2 bytes length, at most 4,096 bytes: the application's headers
//
// The headers of a message are a list, in the order in which the publisher set them, of at most
// 32 entries. A key occurs once:
//
//	1  length of the key, 1 to 64
//	   key, visible ASCII
//	2  length of the value
//	   value, any bytes
//
// A flag is set exactly if its field is not empty or zero, so a Record has only one
// encoding. An unknown kind or flag is an error. A later version with other kinds or flags
// announces them in the container of its records, the header of a file or a logon, before a
// record is read.
//
// A record does not contain its own length; its container does. Its sum covers the content
// only, so the publisher computes it once. If the header may be damaged as well, the
// container needs another sum, such as that of a log's frame.
package record
