# find_package(logdrive) gives logdrive::logdrive, the shared library, and where there is an archive
# logdrive::static. Found beside the installation's pkg-config file, so it may be moved as a whole.
if(NOT TARGET logdrive::logdrive)
  get_filename_component(_logdrive_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  find_path(_logdrive_include logdrive.h PATHS "${_logdrive_prefix}/include" NO_DEFAULT_PATH NO_CACHE)
  file(GLOB _logdrive_shared
    "${_logdrive_prefix}/lib/liblogdrive.so" "${_logdrive_prefix}/lib*/liblogdrive.so"
    "${_logdrive_prefix}/lib/*/liblogdrive.so")
  file(GLOB _logdrive_archive
    "${_logdrive_prefix}/lib/liblogdrive.a" "${_logdrive_prefix}/lib*/liblogdrive.a"
    "${_logdrive_prefix}/lib/*/liblogdrive.a")
  if(NOT _logdrive_include OR NOT _logdrive_shared)
    set(logdrive_FOUND FALSE)
    set(logdrive_NOT_FOUND_MESSAGE "no logdrive.h or liblogdrive.so below ${_logdrive_prefix}")
    return()
  endif()
  list(GET _logdrive_shared 0 _logdrive_shared)
  add_library(logdrive::logdrive SHARED IMPORTED)
  set_target_properties(logdrive::logdrive PROPERTIES
    IMPORTED_LOCATION "${_logdrive_shared}"
    INTERFACE_INCLUDE_DIRECTORIES "${_logdrive_include}")
  if(_logdrive_archive)
    list(GET _logdrive_archive 0 _logdrive_archive)
    find_package(Threads REQUIRED)
    add_library(logdrive::static STATIC IMPORTED)
    set_target_properties(logdrive::static PROPERTIES
      IMPORTED_LOCATION "${_logdrive_archive}"
      INTERFACE_INCLUDE_DIRECTORIES "${_logdrive_include}"
      INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
  endif()
endif()
