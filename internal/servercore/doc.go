// Package servercore decides what an instance answers its clients: who logs on
// and with which number ([DecideLogon]), which persisted acks go out
// ([AckCore]), and which of two sessions keeps a name ([ContestHere],
// [ContestAcross]).
//
// Nothing here starts, waits, reads a clock or touches a file or a connection:
// what is known goes in, the answer comes out. Package server gives it.
package servercore
