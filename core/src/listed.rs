//! A macro for enums that list their variants.

/// Declares an enum without fields, with a constant `ALL` that lists all its variants in order.
macro_rules! listed {
    ($(#[$about:meta])* $visible:vis enum $name:ident { $($(#[$variant_about:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        $visible enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// All variants in order. The index of each is its discriminant.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }
    };
}

pub(crate) use listed;
