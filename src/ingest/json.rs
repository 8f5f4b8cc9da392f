//! One pass over a JSON body.
