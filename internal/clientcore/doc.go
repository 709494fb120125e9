// Package clientcore decides what a client does: what it sends of its publish
// store and lets go of ([Publisher]), in which order it serves the store's
// lives ([Visit]), which server it tries next ([Order]), how it takes a
// subscription up again ([Resumption]), and when it yields its name
// ([NameRule]).
//
// Nothing here starts, waits, reads a clock or touches a file or a connection:
// events go in, what to do comes out. Package client does it.
package clientcore
