package wire

import "io"

// NextRecord parses the first record of body. body is the body of a sow frame, or the rest that
// an earlier call returned. rec gets the fields of outer, overlaid with the fields of the
// record's own header, and the body of the record. rest is the part of body after the record.
// At the end of body the error is io.EOF.
//
//	N | outer header | record header | record body | record header | record body | …
//
// Each record header has the length of its record body, l. rec and outer must be different.
func NextRecord(body []byte, outer, rec *Message) (rest []byte, err error) {
	if len(body) == 0 {
		return nil, io.EOF
	}
	scratch := rec.scratch[:0]
	*rec = *outer
	rec.scratch = scratch
	rec.Length, rec.HasLength = 0, false
	end, err := rec.parseHeader(body)
	if err != nil {
		return nil, err
	}
	body = body[end:]
	if !rec.HasLength || rec.Length > uint64(len(body)) {
		return nil, &HeaderError{end, "a record without its length, or longer than the frame"}
	}
	rec.Body = body[:rec.Length:rec.Length]
	return body[rec.Length:], nil
}
