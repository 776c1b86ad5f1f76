//! Enums that list their variants.

/// Declares an enum without fields and `ALL`, the complete list of its variants in their order.
macro_rules! listed {
    ($(#[$about:meta])* $visible:vis enum $name:ident { $($(#[$variant_about:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        $visible enum $name {
            $($(#[$variant_about])* $variant,)+
        }

        impl $name {
            /// All variants, each at the index of its discriminant.
            pub const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }
    };
}

pub(crate) use listed;
