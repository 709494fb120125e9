package wire

// MaxFrame is the longest frame, header and body together, that a reader
// takes unless it is told otherwise, in bytes.
const MaxFrame = 16<<20 + 64<<10
