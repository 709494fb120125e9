package wire

import (
	"slices"
	"strings"
)

// AppendMessage appends m as one frame with its length prefix. m was parsed, or built by the
// caller. The keys have the order of the AppendTo of the command. Fields that are nil, and
// numbers that are not marked as present, are left out.
func AppendMessage(dst []byte, m *Message) []byte {
	start := len(dst)
	if m.Command == Unknown {
		dst = append(dst, "\x00\x00\x00\x00{"...)
		if m.CommandText != nil {
			dst = append(dst, `"c":`...)
			dst = appendQuoted(dst, m.CommandText)
		}
	} else {
		dst, _ = beginFrame(dst, m.Command.String(), "")
	}
	first := len(dst)
	for _, key := range m.order() {
		dst = m.appendPair(dst, key)
	}
	if dst[first-1] == '{' && len(dst) > first {
		dst = slices.Delete(dst, first, first+1) // the comma of the first pair
	}
	return endFrame(dst, start, m.Body)
}

// appendPair appends the pair of one key with a comma before it, if m has that field.
func (m *Message) appendPair(dst, key []byte) []byte {
	switch string(key) {
	case "a":
		return appendAcks(dst, m.Acks)
	case "headers":
		return appendHeaders(dst, m.Headers)
	case "catching_up":
		if m.CatchingUp {
			dst = append(dst, `,"catching_up":"true"`...)
		}
		return dst
	}
	if text := m.textField(key); text != nil {
		if *text != nil || text == &m.Carried && m.HasCarried {
			dst = appendQuoted(appendKey(dst, key), *text)
		}
		return dst
	}
	n, present := m.numberField(key)
	if present != nil && *present || present == nil && *n != 0 {
		dst = appendNumber(appendKey(dst, key), "", *n, true)
	}
	return dst
}

func appendKey(dst, key []byte) []byte {
	dst = append(dst, `,"`...)
	dst = append(dst, key...)
	return append(dst, `":`...)
}

// The orders of keys of single commands. All other commands have the order allKeys.
var (
	allKeys = keys(`cid t sub_id query_id bm bs filter orderby sow_keys top_n ts a s e x user_id sids k l
		reason status opts
		client_name pw mt version ext store n acked last rejected have max catching_up carried instance peers
		topic_matches matches records_returned records_deleted level gap sync part parts sum
		cluster incarnation lost sent clock headers`)
	logonKeys     = keysFirst(`cid client_name user_id pw x mt a opts version`)
	logonAckKeys  = keysFirst(`cid s bm client_name a status reason user_id pw version`)
	ackKeys       = keysFirst(`cid query_id a s bm status reason sub_id user_id pw opts version`)
	subAckKeys    = keysFirst(`cid query_id a status reason sub_id bm user_id pw opts version`)
	subscribeKeys = keysFirst(`cid t sub_id query_id bm a filter opts`)
	sowDeleteKeys = keysFirst(`cid t filter sow_keys bm a s opts`)
	heartbeatKeys = keysFirst(`cid opts a`)
)

// order returns the keys in the order of writing.
func (m *Message) order() [][]byte {
	switch {
	case m.Command == Ack && m.ClientName != nil:
		return logonAckKeys
	case m.Command == Ack && m.HasSequence:
		return ackKeys
	case m.Command == Ack:
		return subAckKeys
	case m.Command == Logon:
		return logonKeys
	case m.Command == Subscribe || m.Command == DeltaSubscribe:
		return subscribeKeys
	case m.Command == SOWDelete:
		return sowDeleteKeys
	case m.Command == Heartbeat:
		return heartbeatKeys
	}
	return allKeys
}

func keys(list string) [][]byte {
	var ks [][]byte
	for _, k := range strings.Fields(list) {
		ks = append(ks, []byte(k))
	}
	return ks
}

// keysFirst returns the keys of list, and then all other keys.
func keysFirst(list string) [][]byte {
	ks := keys(list)
	for _, k := range allKeys {
		if !slices.ContainsFunc(ks, func(l []byte) bool { return string(l) == string(k) }) {
			ks = append(ks, k)
		}
	}
	return ks
}
