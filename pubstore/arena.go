package pubstore

import "encoding/binary"

const (
	blockBytes     = 256 << 10
	maxSpareBlocks = 16
)

// An arena holds records in memory, in blocks that it reuses once they hold no kept record. A
// position is the number of the block and an offset in it.
type arena struct {
	first  uint64   // number of blocks[0]
	blocks []*block // nil: dropped
	spare  []*block
	encoder
}

type block struct {
	data []byte
	live int // number of kept records
}

// blockFor returns a block with room for n more bytes, and its number.
func (a *arena) blockFor(n int) (*block, uint64) {
	if last := len(a.blocks) - 1; last >= 0 {
		if b := a.blocks[last]; cap(b.data)-len(b.data) >= n {
			return b, a.first + uint64(last)
		}
	}
	var b *block
	if s := len(a.spare) - 1; s >= 0 && n <= blockBytes {
		b, a.spare = a.spare[s], a.spare[:s]
	} else {
		b = &block{data: make([]byte, 0, max(n, blockBytes))}
	}
	a.blocks = append(a.blocks, b)
	return b, a.first + uint64(len(a.blocks)-1)
}

// lengthLen is the size of the length field before each record.
const lengthLen = 4

// add stores the record of m and returns its position.
func (a *arena) add(m *Message) (uint64, error) {
	b, number := a.blockFor(lengthLen + minRecordLen + m.Size() + maxExtraLen)
	start := len(b.data)
	data, err := a.append(append(b.data, make([]byte, lengthLen)...), m)
	if err != nil {
		return 0, err
	}
	b.data = append(data, m.Body...)
	binary.LittleEndian.PutUint32(b.data[start:], uint32(len(b.data)-start-lengthLen))
	b.live++
	return number<<32 | uint64(start), nil
}

// get returns the record of a slot. The record is valid until the next call of drop.
func (a *arena) get(s slot) []byte {
	b := a.blocks[s.pos>>32-a.first].data[s.pos&(1<<32-1):]
	return b[lengthLen:][:binary.LittleEndian.Uint32(b)]
}

// drop removes the record of a slot.
func (a *arena) drop(s slot) {
	i := s.pos>>32 - a.first
	b := a.blocks[i]
	if b.live--; b.live > 0 {
		return
	}
	b.data = b.data[:0]
	if i == uint64(len(a.blocks)-1) {
		return // more is appended to this block
	}
	if cap(b.data) == blockBytes && len(a.spare) < maxSpareBlocks {
		a.spare = append(a.spare, b)
	}
	a.blocks[i] = nil
	for a.blocks[0] == nil {
		a.blocks = a.blocks[1:]
		a.first++
	}
}
